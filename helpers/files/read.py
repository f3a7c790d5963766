"""Read a microscope file: choose the signal, check that it is an image, calibrate its axes."""

import glob
import logging
import math
import re
import warnings
from contextlib import contextmanager
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
    _refuse_unsafe(path)
    with _quiet_hyperspy():
        # Nested, so that the signals that are not chosen leave the memory.
        chosen = _choose(_read(path, lazy), signal, path)
        _check_is_image(chosen, path)
        return _plain_signal(chosen, pixel_size_nm, path)


def axes_of(signal) -> list:
    """The axes in the order of the array: frames, rows, columns."""
    manager = signal.axes_manager
    axes = [*manager.navigation_axes, *manager.signal_axes]
    return sorted(axes, key=lambda axis: axis.index_in_array)


def _refuse_unsafe(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in _UNSAFE_SUFFIXES:
        raise ValueError(f"{path} is not read, as its format can carry program code: export a .tif")
    if path.is_dir() and suffix != ".zspy":
        raise ValueError(f"{path} is a folder: name one file in it")


@contextmanager
def _quiet_hyperspy():
    """Let HyperSpy tell of errors alone inside the block, and afterwards as much as before."""
    # Its import sets the level, and so must come first.
    import hyperspy.api  # noqa: F401

    logger = logging.getLogger("hyperspy")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _read(path: Path, lazy: bool | None) -> list:
    """All signals of a file; whatever the reader raises becomes a ValueError with the file name."""
    import hyperspy.api as hs

    suffix = path.suffix.lower()
    options = _reader_options(path, lazy)
    try:
        if suffix == ".zspy":
            _refuse_pickled_arrays(path)
        if suffix == ".mrc":
            _refuse_short_mrc(path)
        loaded = hs.load(path, **options)
    except Exception as error:
        message = (
            f"{path} could not be read ({type(error).__name__}: {error}): "
            f"is it damaged, or of another format than its ending? Export it again"
        )
        raise ValueError(message) from error
    return loaded if isinstance(loaded, list) else [loaded]


def _reader_options(path: Path, lazy: bool | None) -> dict:
    if lazy is None:
        lazy = _size_bytes(path) > LAZY_ABOVE_BYTES
    options = {"lazy": bool(lazy)}
    suffix = path.suffix.lower()
    if suffix == ".hspy" or path.is_dir():
        options["mode"] = "r"  # else a lazy file is opened for writing
    if suffix == ".mrc":
        options["file_format"] = "MRC"  # two readers claim this ending
    return options


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

    if path.is_file():
        store = zarr.ZipStore(str(path), mode="r")
    else:
        store = zarr.DirectoryStore(str(path))
    group = zarr.open_group(store, mode="r")
    for _, array in group.arrays(recurse=True):
        filters = array.filters or []
        codecs = [*filters, array.compressor]
        names = [codec.codec_id for codec in codecs if codec is not None]
        if any("pickle" in name for name in names):
            raise ValueError(f"the array {array.path} is pickled, and could run code if read")
    store.close()


def _refuse_short_mrc(path: Path) -> None:
    """A damaged .mrc header can claim a size that keeps its reader busy for minutes."""
    shape = np.fromfile(path, "<u4", 3)
    claimed = math.prod(int(count) for count in shape)
    if claimed > _size_bytes(path):
        raise ValueError(f"its header claims {claimed} pixels, more than the file has bytes")


def _choose(signals: list, wanted: int | str | None, path: Path):
    """The one signal, or that with the index or title `wanted`."""
    titles = [str(signal.metadata.get_item("General.title", "")) for signal in signals]
    matches = []
    for index, signal in enumerate(signals):
        if wanted in (None, index, titles[index]):
            matches.append(signal)
    if len(matches) == 1:
        return matches[0]
    number = "several signals" if matches else "no signal"
    lines = [f"signal={wanted!r} names {number} of {path}, which holds {len(signals)} signals:"]
    for index, signal in enumerate(signals):
        title = titles[index] or "(no title)"
        lines.append(f"  {index}: {title}, shape {signal.data.shape}")
    message = "\n".join(lines)
    raise ValueError(message)


def _check_is_image(signal, path: Path) -> None:
    """Refuse, with a way out, what is not a grey-level image or a stack of them."""
    kind = signal.data.dtype
    shape = signal.data.shape
    manager = signal.axes_manager
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

    *frames, rows, columns = axes_of(signal)
    # NCEM's format takes that of the frames for a signal axis.
    frames = [axis.get_axis_dictionary() | {"navigate": True} for axis in frames]
    rows_and_columns = _calibrated([rows, columns], pixel_size_nm, path)
    plain = LazySignal2D if signal._lazy else Signal2D
    return plain(
        signal.data.astype(np.float32),
        axes=[*frames, *rows_and_columns],
        metadata=signal.metadata.as_dictionary(),
        original_metadata=signal.original_metadata.as_dictionary(),
    )


def _calibrated(axes, pixel_size_nm: float | None, path: Path) -> list[dict]:
    """Rows and columns in nm, or in px with scale 1 where the file gives no usable unit."""
    calibrations = [_calibration_nm(axis) for axis in axes]
    if pixel_size_nm is not None:
        calibrations = [{"scale": pixel_size_nm, "units": "nm"}] * 2
    elif not all(0 < calibration["scale"] < math.inf for calibration in calibrations):
        calibrations = [{"scale": 1.0, "units": "px"}] * 2
        sizes = ", ".join(f"{_scale_of(axis):.6g} {str(axis.units)!r}" for axis in axes)
        message = (
            f"{path.name}: the pixel size (rows, columns) of {sizes} is no length: "
            f"the axes stay in px; give pixel_size_nm= if you know it"
        )
        warnings.warn(message, stacklevel=5)
    rows_nm, columns_nm = (calibration["scale"] for calibration in calibrations)
    if abs(rows_nm - columns_nm) > UNEQUAL_SCALES * max(rows_nm, columns_nm):
        message = (
            f"{path.name}: rows are {rows_nm:.6g} nm apart, columns {columns_nm:.6g} nm: "
            f"resample to square pixels, or give pixel_size_nm= if the file is wrong"
        )
        warnings.warn(message, stacklevel=5)
    plain = [{"name": axis.name, "size": axis.size, "navigate": False} for axis in axes]
    return [axis | calibration for axis, calibration in zip(plain, calibrations, strict=True)]


def _calibration_nm(axis) -> dict:
    """Scale and offset in nm; NaN where the unit is no length."""
    units = re.sub(r"[\s\[\]]", "", str(axis.units))
    nm_per_unit = _NM_PER_UNIT.get(units.lower(), math.nan)
    offset = axis.offset if axis.is_uniform else 0.0
    return {
        "scale": _scale_of(axis) * nm_per_unit,
        "offset": offset * nm_per_unit,
        "units": "nm",
    }


def _scale_of(axis) -> float:
    """The step of an axis; NaN for one of unequal steps, which has none."""
    return axis.scale if axis.is_uniform else math.nan
