"""Look through a Zarr folder, or one in a zip, before its reader does.

Zarr says in small JSON files, .zarray, how the parts of an array are unpacked. One of the ways is
Python's pickle, which runs what it unpacks; so the JSON is read here, without Zarr. A part that is
a link would be read wherever it leads.
"""

import json
import os
import stat
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np

from .refusal import Refused

# How HyperSpy and Zarr pack arrays. None of these runs anything.
_PACKERS = set("blosc zlib gzip bz2 lzma zstd lz4 delta shuffle fixedscaleoffset quantize".split())
_PACKERS |= set("astype packbits bitround crc32 adler32 fletcher32".split())
_OBJECT_PACKERS = {"vlen-utf8", "vlen-bytes", "vlen-array", "msgpack2", "json2"}

COPY = "copy the data themselves into the folder, or export a .tif where it comes from"
LONGEST_DESCRIPTION = 2**20  # bytes of one .zarray; a few hundred are usual


def refuse_risky_zarr(path: Path) -> None:
    """Raise `Refused` if an array could run code, or any part lies elsewhere."""
    if path.is_dir():
        described = _descriptions_in_folder(path)
    elif zipfile.is_zipfile(path):
        described = _descriptions_in_zip(path)
    else:
        described = ()
    for name, text in described:
        if len(text) > LONGEST_DESCRIPTION:
            raise Refused(path, f"its {name} has {len(text)} bytes, far too many")
        found = _risk_of_array(json.loads(text))
        if found:
            raise Refused(path, f"its array {PurePosixPath(name).parent} {found}")


def _descriptions_in_folder(path: Path):
    """The name and text of each .zarray; on the way every part is looked at."""
    folders = [path]
    while folders:
        with os.scandir(folders.pop()) as parts:
            for part in parts:
                if part.is_dir(follow_symlinks=False):
                    folders.append(part.path)
                elif not part.is_file(follow_symlinks=False):
                    where = Path(part).relative_to(path)
                    raise Refused(path, f"its part {where} is a link, or no file", COPY)
                elif _describes_array(part.name):
                    yield Path(part).relative_to(path).as_posix(), Path(part).read_bytes()


def _descriptions_in_zip(path: Path):
    """The name and text of each .zarray; on the way every name is looked at."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if _is_odd(member):
                raise Refused(path, f"its member {member.filename!r} is a link or leads outside")
        # A name may stand there twice, and then the last one counts: for Zarr as well.
        for name in filter(_describes_array, archive.NameToInfo):
            with archive.open(name) as member:
                yield name, member.read(LONGEST_DESCRIPTION + 1)


def _describes_array(name: str) -> bool:
    """Whether Zarr takes a file for a description; some disks do not tell a from A."""
    return PurePosixPath(name).name.lower() == ".zarray"


def _is_odd(member: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    leads_outside = name.is_absolute() or ".." in name.parts or ":" in name.parts[0]
    return leads_outside or stat.S_ISLNK(member.external_attr >> 16)


def _risk_of_array(described: dict) -> str:
    """What is wrong with an array; "" if nothing is."""
    packers = [*(described["filters"] or []), described["compressor"]]
    packers = [packer for packer in packers if packer is not None]
    kind = described["dtype"]
    allowed = _PACKERS
    if kind == "|O":
        allowed = _PACKERS | _OBJECT_PACKERS
    elif _holds_objects(kind):
        return "holds Python objects among its values"
    for packer in packers:
        if packer["id"] not in allowed:
            return f"is packed by {packer['id']!r}: if it is pickled, reading it can run code"
        kinds = [value for key, value in packer.items() if key.endswith("type")]
        if any(map(_holds_objects, kinds)):
            return f"makes Python objects of its bytes ({packer['id']!r})"
    if kind == "|O" and not any(packer["id"] in _OBJECT_PACKERS for packer in packers):
        return "holds Python objects, and does not say how they are packed"
    return ""


def _holds_objects(kind) -> bool:
    """Whether a type of values, as Zarr writes it down, has NumPy's objects in it."""
    if kind is None:
        return False
    if isinstance(kind, list):  # fields, each with name, type and perhaps shape
        kind = [tuple(tuple(part) if isinstance(part, list) else part for part in f) for f in kind]
    return np.dtype(kind).hasobject
