"""Look through an HDF5 file before its reader does: nothing in it may lead to another file.

An HDF5 file can name others on this machine: by links, by values that are kept outside of it, by
datasets that are put together from those of other files. A reader follows all three without a word.
Two kinds of damage are looked for as well, since the library crashes at one and never returns from
the other.
"""

import mmap
import struct
from pathlib import Path

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5t

from .refusal import Refused

WAY_OUT = "save everything in one file, or export a .tif, where it comes from"
COPY = "copy it again, or export a .tif where it comes from"
LARGEST_SCANNED = 2**28  # bytes; a larger file is not read through

# What a list of varying length may be made of: HyperSpy stores texts and ragged arrays so.
_PLAIN = {h5t.INTEGER, h5t.FLOAT, h5t.STRING, h5t.ENUM}


def refuse_risky_hdf5(path: Path) -> None:
    """Raise `Refused` if an HDF5 file leads to another file, or has values that are no data."""
    if not h5py.is_hdf5(path):
        return
    if path.stat().st_size <= LARGEST_SCANNED and _has_endless_heap(path):
        raise Refused(path, "it is damaged: its texts are a list without end", COPY)
    with h5py.File(path, "r") as file:
        found = _risk_of_object(file.id, "/")

        def look(name: bytes, link) -> str | None:
            return _risk_of_link(file.id, name, link)

        # Each link once, in the library itself; the first text that comes back ends the walk.
        found = found or file.id.links.visit(look, info=True)
    if found:
        raise Refused(path, found, WAY_OUT)


def _risk_of_link(root: h5g.GroupID, name: bytes, link) -> str | None:
    """What is wrong with a link, or with what it leads to; None if nothing is."""
    where = name.decode(errors="replace")
    if link.type == h5l.TYPE_SOFT:
        return None if _leads_somewhere(root, name) else f"its link {where} leads nowhere"
    if link.type != h5l.TYPE_HARD:
        return f"its link {where} leads to another file"
    return _risk_of_object(h5o.open(root, name), where) or None


def _leads_somewhere(root: h5g.GroupID, name: bytes) -> bool:
    try:
        h5o.open(root, name)
    except KeyError:
        return False
    return True


def _risk_of_object(thing, where: str) -> str:
    """What is wrong with a group or dataset itself; "" if nothing is."""
    for index in range(h5a.get_num_attrs(thing)):
        attribute = h5a.open(thing, index=index)
        found = _risk_of_type(attribute.get_type())
        if found:
            return f"its attribute {attribute.name.decode(errors='replace')} of {where} {found}"
    if not isinstance(thing, h5d.DatasetID):
        return ""
    layout = thing.get_create_plist()
    if layout.get_external_count():
        other = layout.get_external(0)[0].decode(errors="replace")
        return f"its dataset {where} keeps its values in another file, {other!r}"
    if layout.get_layout() == h5d.VIRTUAL:
        return f"its dataset {where} is put together from other files (a virtual dataset)"
    found = _risk_of_type(thing.get_type())
    return f"its dataset {where} {found}" if found else ""


def _risk_of_type(kind: h5t.TypeID) -> str:
    """What is wrong with a type of values; "" if nothing is."""
    described = kind.get_class()
    if described == h5t.COMPOUND:
        parts = [kind.get_member_type(index) for index in range(kind.get_nmembers())]
        return next(filter(None, map(_risk_of_type, parts)), "")
    if described == h5t.ARRAY:
        return _risk_of_type(kind.get_super())
    if described == h5t.VLEN:
        return _risk_of_list(kind)
    if described == h5t.OPAQUE and _names_objects(kind.get_tag()):
        return "holds Python objects"
    return ""


def _risk_of_list(kind: h5t.TypeID) -> str:
    """What is wrong with lists of varying length; texts come as a type of their own."""
    if kind.get_super().get_class() not in _PLAIN:
        return "holds lists that are neither numbers nor texts"
    # Behind two bytes that say what follows, and the class: 0 is a list, 1 a text, no more exist.
    flags = kind.encode()[3]
    return "is damaged: it holds lists of a kind that does not exist" if flags & 15 else ""


def _names_objects(tag: bytes) -> bool:
    """Whether opaque bytes say that they are NumPy's objects: addresses in the memory."""
    if not tag.startswith(b"NUMPY:"):
        return False
    try:
        return np.dtype(tag.removeprefix(b"NUMPY:").decode()).hasobject
    except (TypeError, ValueError):
        return True


def _has_endless_heap(path: Path) -> bool:
    """Whether a place where HDF5 keeps texts has a part that the library never gets over."""
    mark = b"GCOL\1"  # with its version
    with path.open("rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            start = content.find(mark)
            while start >= 0:
                if _is_endless(content, start):
                    return True
                start = content.find(mark, start + 1)
    return False


def _is_endless(content: mmap.mmap, start: int) -> bool:
    """Go through one heap as the library does: objects with a number, gaps without."""
    header = struct.Struct("<HHIQ")  # number, references, nothing, size
    if start + header.size > len(content):
        return False
    *_, size = header.unpack_from(content, start)
    end = start + size
    if end > len(content):  # which the library notices
        return False
    place = start + header.size
    while place + header.size <= end:
        number, _, _, size = header.unpack_from(content, place)
        step = header.size + -(-size // 8) * 8 if number else size
        if step == 0 or place + step > end:  # it stays, or its sum of 64 bits starts anew
            return True
        place += step
    return False
