"""What lies beside a file, and what it names: a reader must not be led out of the folder."""

import glob
import re
from pathlib import Path
from xml.etree import ElementTree

from .refusal import Refused

# Files that a reader opens beside the one that it is given, by its name without the ending.
_BESIDE = {
    ".emi": "{stem}_[0-9].ser",
    ".rpl": "{stem}.[rR][aA][wW]",
    ".mib": "{stem}.hdr",
    ".spd": "{stem}.*",
    ".lsd": "{stem}.*",
    ".tvips": "{series}[0-9][0-9][0-9].tvips",
    ".mrc": "{movie}*",
}
COPY = "copy the data themselves into the folder of the file"


def files_beside(path: Path) -> list[Path]:
    """The files, in the folder of `path`, that its reader opens as well."""
    pattern = _BESIDE.get(path.suffix.lower())
    if pattern is None:
        return []
    # A movie of Direct Electron: day, number, name; what belongs to it starts with the first two.
    movie = re.fullmatch(r"(\d+_\d+_).*movie", path.stem)
    if "{movie}" in pattern and not movie:
        return []
    parts = {
        "stem": glob.escape(path.stem),
        "series": glob.escape(path.stem[:-3]),
        "movie": glob.escape(movie[1]) if movie else "",
    }
    return sorted(path.parent.glob(pattern.format(**parts)))


def refuse_other_places(path: Path) -> None:
    """Raise `Refused` if a file that the reader opens beside `path` lies elsewhere, or is none."""
    for part in files_beside(path):
        if not part.is_file() or not _stays_beside(part, path):
            raise Refused(path, f"{part.name} beside it is no file, or a link to elsewhere", COPY)


def refuse_names_of_ome(path: Path, description: str) -> None:
    """Raise `Refused` if an OME-TIFF takes images from files that do not lie beside it."""
    try:
        root = ElementTree.fromstring(description)
    except ElementTree.ParseError:  # then nobody reads names from it
        return
    for element in root.iter():
        for key in ("FileName", "MetadataFile"):
            name = element.attrib.get(key)
            if name and not _stays_beside(path.parent / name, path):
                raise Refused(path, f"it takes images from {name!r}, outside of its folder", COPY)


def _stays_beside(part: Path, path: Path) -> bool:
    """Whether a file lies in the folder of `path`, or in that to which `path` is a link."""
    return part.resolve().parent in (path.parent.resolve(), path.resolve().parent)
