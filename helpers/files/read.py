"""Read a microscope file: choose the signal, check that it is an image, calibrate its axes."""

import glob
import math
import re
import warnings
from pathlib import Path

import numpy as np

LAZY_ABOVE_BYTES = 2**30
UNEQUAL_SCALES = 1e-3  # relative difference of row and column scale that is worth a warning

# Nanometres in one unit, in the spellings that microscope files use (compared in lower case).
_NM_IN = {
    1e9: "m meter meters metre metres",
    1e6: "mm millimeter millimeters",
    1e3: "um \N{MICRO SIGN}m \N{GREEK SMALL LETTER MU}m micron microns micrometer micrometers",
    1.0: "nm n_m nanometer nanometers nanometre nanometres",
    0.1: "å a \N{ANGSTROM SIGN} ang angstrom angstroms ångström ångströms",
    1e-3: "pm picometer picometers picometre picometres",
}
_NM_PER_UNIT = {name.lower(): nm for nm, names in _NM_IN.items() for name in names.split()}

# These readers run code that a file may bring along: netCDF evaluates text, MRCZ unpickles.
_UNSAFE_SUFFIXES = {".nc", ".mrcz"}


def read_image(path: Path, *, pixel_size_nm=None, signal=None, lazy: bool | None = None):
    """What `load_image` returns, with its errors and warnings."""
    chosen = _choose(_read(path, lazy), signal, path)
    _check_is_image(chosen, path)
    return _plain_signal(chosen, pixel_size_nm, path)


def _read(path: Path, lazy: bool | None) -> list:
    """All signals of a file; whatever the reader raises becomes a ValueError with the file name."""
    suffix = path.suffix.lower()
    if suffix in _UNSAFE_SUFFIXES:
        raise ValueError(f"{path} is not read, as its format can carry program code: export a .tif")
    if path.is_dir() and suffix != ".zspy":
        raise ValueError(f"{path} is a folder: name one file in it")
    import hyperspy.api as hs

    hs.set_log_level("ERROR")
    options = {"lazy": _size_bytes(path) > LAZY_ABOVE_BYTES if lazy is None else bool(lazy)}
    if suffix == ".hspy" or path.is_dir():
        options["mode"] = "r"  # else a lazy file is opened for writing
    try:
        if suffix == ".zspy":
            _refuse_pickled_arrays(path)
        if suffix == ".mrc":
            _refuse_short_mrc(path)
            options["file_format"] = "MRC"  # two readers claim this ending
        loaded = hs.load(path, **options)
    except Exception as error:
        failure = f"{path} could not be read ({type(error).__name__}: {error})"
        remedy = "is it damaged, or of another format than its ending? Export it again"
        raise ValueError(f"{failure}: {remedy}") from error
    return loaded if isinstance(loaded, list) else [loaded]


def _size_bytes(path: Path) -> int:
    parts = [path]
    if path.is_dir():
        parts = path.rglob("*")
    elif path.suffix.lower() == ".emi":  # the images lie in .ser files beside it
        parts = path.parent.glob(f"{glob.escape(path.stem)}_*.ser")
    return sum(part.stat().st_size for part in parts)


def _refuse_pickled_arrays(path: Path) -> None:
    """Zarr can store arrays as pickles, which run code when they are read: look before reading."""
    import zarr

    store = zarr.ZipStore(str(path), mode="r") if path.is_file() else zarr.DirectoryStore(str(path))
    for _, array in zarr.open_group(store, mode="r").arrays(recurse=True):
        codecs = [*(array.filters or []), array.compressor]
        if any("pickle" in codec.codec_id for codec in codecs if codec is not None):
            raise ValueError(f"the array {array.path} is pickled, and could run code if read")
    store.close()


def _refuse_short_mrc(path: Path) -> None:
    """A damaged .mrc header can claim a size that keeps its reader busy for minutes."""
    claimed = math.prod(int(count) for count in np.fromfile(path, "<u4", 3))
    if claimed > _size_bytes(path):
        raise ValueError(f"its header claims {claimed} pixels, more than the file has bytes")


def _choose(signals: list, wanted: int | str | None, path: Path):
    """The one signal, or that with the index or title `wanted`."""
    titles = [str(s.metadata.get_item("General.title", "")) for s in signals]
    matches = [s for n, s in enumerate(signals) if wanted in (None, n, titles[n])]
    if len(matches) == 1:
        return matches[0]
    found = "several signals" if matches else "no signal"
    message = f"signal={wanted!r} names {found} of {path}, which holds {len(signals)} signals:"
    for n, s in enumerate(signals):
        message += f"\n  {n}: {titles[n] or '(no title)'}, shape {s.data.shape}"
    raise ValueError(message)


def _check_is_image(signal, path: Path) -> None:
    """Refuse, with a way out, what is not a grey-level image or a stack of them."""
    kind, shape, manager = signal.data.dtype, signal.data.shape, signal.axes_manager
    # Three signal axes: a stack in a format that does not tell frames from rows (NCEM's .emd).
    is_image = manager.signal_dimension == 2 or manager.signal_dimension == len(shape) == 3
    faults = [
        (0 in shape, "it is empty"),
        (kind.names, f"it is in colour {kind.names}: a screenshot? Export the grey-level data"),
        (kind.kind not in "biuf", f"{kind} values, but real numbers are needed, no phase or FFT"),
        (not is_image, "a spectrum or profile, not an image: give signal=, or use as_signal2D"),
        (manager.navigation_dimension > 1, "patterns (4D-STEM?): sum them to one image first"),
    ]
    for fault, message in faults:
        if fault:
            raise ValueError(f"{path} holds a signal of shape {shape}: {message}")


def _plain_signal(signal, pixel_size_nm: float | None, path: Path):
    """A plain Signal2D, float32, with the metadata of `signal`, calibrated, and nothing else."""
    from hyperspy.signals import LazySignal2D, Signal2D

    axes = signal.axes_manager._axes  # in the order of the array: frames, rows, columns
    kind = LazySignal2D if signal._lazy else Signal2D
    frames = [axis.get_axis_dictionary() | {"navigate": True} for axis in axes[:-2]]
    plain_axes = frames + _calibrated(axes[-2:], pixel_size_nm, path)
    about, original = signal.metadata.as_dictionary(), signal.original_metadata.as_dictionary()
    data = signal.data.astype(np.float32)
    return kind(data, axes=plain_axes, metadata=about, original_metadata=original)


def _calibrated(axes, pixel_size_nm: float | None, path: Path) -> list[dict]:
    """Rows and columns in nm, or in px with scale 1 where the file gives no usable unit."""
    new, found = [], []
    for axis in axes:  # one of unequal steps has no scale
        scale, offset = (axis.scale, axis.offset) if axis.is_uniform else (math.nan, 0.0)
        nm = _NM_PER_UNIT.get(re.sub(r"[\s\[\]]", "", str(axis.units)).lower(), math.nan)
        new.append({"scale": scale * nm, "offset": offset * nm, "units": "nm"})
        found.append(f"{scale:.6g} {str(axis.units)!r}")
    if pixel_size_nm is not None:
        new = [{"scale": pixel_size_nm, "units": "nm"}] * 2
    elif not all(0 < axis["scale"] < math.inf for axis in new):
        new = [{"scale": 1.0, "units": "px"}] * 2
        sizes = f"{path.name}: the pixel size (rows, columns) of {', '.join(found)} is no length"
        remedy = "the axes stay in px; give pixel_size_nm= if you know it"
        warnings.warn(f"{sizes}: {remedy}", stacklevel=5)
    rows, columns = (axis["scale"] for axis in new)
    if abs(rows - columns) > UNEQUAL_SCALES * max(rows, columns):
        spaced = f"{path.name}: rows are {rows:.6g} nm apart, columns {columns:.6g} nm"
        remedy = "resample to square pixels, or give pixel_size_nm= if the file is wrong"
        warnings.warn(f"{spaced}: {remedy}", stacklevel=5)
    plain = [{"name": axis.name, "size": axis.size, "navigate": False} for axis in axes]
    return [axis | calibration for axis, calibration in zip(plain, new, strict=True)]
