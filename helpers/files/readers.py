"""Which reader a file is given to: one whose source was read, by the ending and by the content."""

import importlib
from pathlib import Path

import h5py

from .refusal import EXPORT, PIXEL_SIZE_OPTION, Refused

# The readers of RosettaSciIO whose source was read: none of them runs or unpickles what a file
# holds, and none follows a path in it out of the folder. What a later version adds is not used.
_TRUSTED = set(
    """
    Blockfile Bruker DigitalMicrograph DigitalSurf EDAX EMD HSPY Hamamatsu Image JEOL MRC MSA
    NeXus PantaRhei Phenom QuantumDetector Ripple Semper TIA TVIPS Topspin ZSPY numpy
    """.split()
)
_OURS = {".tif": "tiff", ".tiff": "tiff"}
_OURS |= {".ndata": "swift", ".ndata1": "swift", ".nhdf": "swift"}
_REFUSED = {
    ".nc": "this format can carry program code, which its reader runs",
    ".mrcz": "this format can carry program code (pickles), which its reader runs",
    ".asw": "it names other files, which its reader opens wherever they lie; name one of those",
    ".xml": "it holds no image, but names the file that does",
}
_PICTURES = {"PNG", "BMP", "DIB", "GIF", "JPEG", "MSP", "PCX", "PPM", "XBM", "SPIDER"}
_SHARED = {".h5", ".hdf5"}


def reader_of(path: Path):
    """The module that reads a file: by its ending and, where several programs use that, by content.

    Raises
    ------
    Refused
        If no reader takes the file, or none may.
    """
    from rsciio import IO_PLUGINS

    suffix = path.suffix.lower()
    if suffix in _REFUSED:
        raise Refused(path, _REFUSED[suffix])
    if suffix in _OURS:
        return importlib.import_module(f".{_OURS[suffix]}", __package__)
    if suffix in _SHARED:
        return _reader_of_hdf5(path)
    for plugin in IO_PLUGINS:
        endings = {f".{ending.lower()}" for ending in plugin["file_extensions"]}
        if plugin["name"] in _TRUSTED and suffix in endings and _is_meant(plugin["name"], path):
            return importlib.import_module(plugin["api"])
    reason = f"no reader takes files that end in {suffix or 'nothing'!r}"
    raise Refused(path, reason, _way_out(path, "image"))


def _is_meant(name: str, path: Path) -> bool:
    """Whether a reader, found by the ending, is also that of the content."""
    if name == "Image":
        _refuse_other_pictures(path)
    if path.suffix.lower() != ".img":
        return True
    with path.open("rb") as file:
        is_of_jeol = file.read(4) == b"4\0\0\0"
    return is_of_jeol == (name == "JEOL")


def _refuse_other_pictures(path: Path) -> None:
    """Pillow knows a picture by its content, and hands PostScript to another program to run."""
    from PIL import Image

    with Image.open(path) as picture:
        if picture.format not in _PICTURES:
            raise Refused(path, f"its content is {picture.format}, not what its ending says")


def _reader_of_hdf5(path: Path):
    """HDF5 under an ending that many programs use: who wrote it stands in its root."""
    if not h5py.is_hdf5(path):
        raise Refused(
            path, "it is no HDF5, as its ending says: is it damaged?", f"copy it again, or {EXPORT}"
        )
    with h5py.File(path, "r") as file:
        holds = list(file)
        if "Experiments" in holds or file.attrs.get("file_format") == "HyperSpy":
            return importlib.import_module("rsciio.hspy")
        if "version_major" in file.attrs or "Version" in holds:
            return importlib.import_module("rsciio.emd")
        if "data" in holds and _is_of_swift(file["data"]):
            return importlib.import_module(".swift", __package__)
        arrays = _arrays_in(file)
    listed = ", ".join(arrays.values()) or "no array of rows and columns"
    array = f"h5py.File({str(path)!r})[{next(iter(arrays), 'NAME')!r}][:]"
    reason = f"it is HDF5, but of none of HyperSpy, Velox, NCEM, Nion Swift. It holds {listed}"
    raise Refused(path, reason, _way_out(path, array))


def _is_of_swift(data) -> bool:
    datasets = [data] if isinstance(data, h5py.Dataset) else list(data.values())
    return bool(datasets) and all("properties" in part.attrs for part in datasets)


def _arrays_in(file: h5py.File) -> dict[str, str]:
    """The names of the first few arrays of an HDF5 file, with what a message says of them."""
    found = {}

    def note(name: str, part) -> bool | None:
        if isinstance(part, h5py.Dataset) and part.ndim > 1:
            found[name] = f"{name!r} {part.shape} {part.dtype}"
        return True if len(found) == 5 else None

    file.visititems(note)
    return found


def _way_out(path: Path, array: str) -> str:
    """How an array comes out of a file that no reader takes: as .npy, which opens everywhere."""
    opened = {".mat": "scipy.io.loadmat", ".npz": "numpy.load"}.get(path.suffix.lower())
    if opened:
        array = f"{opened}({str(path)!r})['NAME']"
    save = f"numpy.save({str(path.with_suffix('.npy'))!r}, {array})"
    return (
        f"export a .tif from the program that wrote it; or, in Python, {save}, "
        f"and open the .npy with {PIXEL_SIZE_OPTION}"
    )
