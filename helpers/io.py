"""Load a microscope file as a HyperSpy image or stack whose axes are in nanometres."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hyperspy.signals import Signal2D

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


def load_image(
    path: str | Path, *, pixel_size_nm: float | None = None, signal: int | str | None = None
) -> Signal2D:
    """Load one image, or one stack of images, from a microscope file.

    Parameters
    ----------
    path : str or pathlib.Path
        A .dm3, .dm4, .emd (Velox or NCEM), .ser or .emi, .tif, .mrc, .hspy, .zspy file, or any
        other that HyperSpy reads.
    pixel_size_nm : float, optional
        Size of a (square) pixel in nm, in place of what the file says.
    signal : int or str, optional
        Index or title of the signal, where the file holds several.

    Returns
    -------
    hyperspy.signals.Signal2D
        float32, shape (rows, columns) or (frames, rows, columns). The signal axes are in nm; where
        the file gives no usable unit they stay in px with scale 1. Files over 1 GiB are loaded
        lazily. Metadata is kept; fitted models, which HyperSpy stores as pickles, are not.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read, holds several signals and `signal` does not name one, or the
        signal is no grey-level image or stack of them.

    Warns
    -----
    UserWarning
        If the file gives no usable length unit, or its rows and columns are spaced unequally.
    """
    path = Path(path).expanduser()
    _check_pixel_size(pixel_size_nm)
    chosen = _choose(_read(path), signal, path)
    _check_is_image(chosen, path)
    image = _plain_signal(chosen)
    _calibrate(image, pixel_size_nm, path)
    return image


def _check_pixel_size(pixel_size_nm) -> None:
    number = isinstance(pixel_size_nm, (int, float, np.number)) and pixel_size_nm is not True
    if pixel_size_nm is not None and not (number and 0 < pixel_size_nm < math.inf):
        raise ValueError(f"pixel_size_nm={pixel_size_nm!r}, but a positive number of nm is needed")


def _read(path: Path) -> list:
    """All signals of a file; whatever the reader raises becomes a ValueError with the file name."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; the current folder is {Path.cwd()}")
    suffix = path.suffix.lower()
    if suffix in _UNSAFE_SUFFIXES:
        raise ValueError(
            f"{path} is not read, since its format can carry program code: export it as .tif"
        )
    if path.is_dir() and suffix != ".zspy":
        raise ValueError(f"{path} is a folder: name one file in it")
    import hyperspy.api as hs

    hs.set_log_level("ERROR")
    options = {"lazy": _size_bytes(path) > LAZY_ABOVE_BYTES}
    if suffix == ".mrc":
        options["file_format"] = "MRC"  # two readers claim this ending
    if suffix == ".hspy" or path.is_dir():
        options["mode"] = "r"  # else a lazy file is opened for writing
    try:
        if suffix == ".zspy":
            _refuse_pickled_arrays(path)
        if suffix == ".mrc":
            _refuse_short_mrc(path)
        loaded = hs.load(path, **options)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path} could not be read as a {suffix or 'microscope'} file ({reason}). It may be "
            "damaged, incomplete or of another format than its ending says: try to open it in the "
            "microscope's own program, and export it again"
        ) from error
    return list(loaded) if isinstance(loaded, (list, tuple)) else [loaded]


def _size_bytes(path: Path) -> int:
    if path.is_dir():
        return sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
    if path.suffix.lower() == ".emi":  # the images lie in .ser files beside it
        beside = (p for p in path.parent.iterdir() if p.name.startswith(f"{path.stem}_"))
        return sum(p.stat().st_size for p in beside if p.suffix.lower() == ".ser")
    return path.stat().st_size


def _refuse_pickled_arrays(path: Path) -> None:
    """Zarr can store arrays as pickles, which run code when they are read: look before reading."""
    import zarr

    store = zarr.ZipStore(str(path), mode="r") if path.is_file() else zarr.DirectoryStore(str(path))

    def check(item) -> None:
        codecs = [*(item.filters or []), item.compressor] if isinstance(item, zarr.Array) else []
        if any("pickle" in codec.codec_id for codec in codecs if codec is not None):
            raise ValueError(f"the array {item.path} is pickled, and could run code if it was read")

    zarr.open_group(store, mode="r").visitvalues(check)
    store.close()


def _refuse_short_mrc(path: Path) -> None:
    """A damaged .mrc header can claim a size that keeps its reader busy for minutes."""
    claimed = math.prod(int(count) for count in np.fromfile(path, "<u4", 3))
    if claimed > _size_bytes(path):
        raise ValueError(f"its header claims {claimed} pixels, more than the file has bytes")


def _title(signal) -> str:
    return str(signal.metadata.get_item("General.title", "") or "")


def _choose(signals: list, wanted: int | str | None, path: Path):
    """The one signal, or that with the index or title `wanted`."""
    if not signals:
        raise ValueError(f"{path} holds no signal that can be read")
    if wanted is None and len(signals) == 1:
        return signals[0]
    listing = "".join(
        f"\n  {index}: {_title(s) or '(no title)'}, shape {s.data.shape}"
        for index, s in enumerate(signals)
    )
    if wanted is None:
        raise ValueError(
            f"{path} holds {len(signals)} signals; choose one with signal=, by its index or "
            f"title:{listing}"
        )
    if isinstance(wanted, str):
        matches = [s for s in signals if _title(s) == wanted]
    else:
        matches = [s for index, s in enumerate(signals) if index == wanted]
    if len(matches) != 1:
        found = "several signals" if matches else "no signal"
        raise ValueError(f"signal={wanted!r} names {found} of {path}; there are:{listing}")
    return matches[0]


def _check_is_image(signal, path: Path) -> None:
    """Refuse, with a way out, what is not a grey-level image or a stack of them."""
    kind = signal.data.dtype
    shape = signal.data.shape
    what = f"{path} holds a signal of shape {shape}"
    manager = signal.axes_manager
    if 0 in shape:
        raise ValueError(f"{what}: it is empty")
    if kind.names:
        raise ValueError(
            f"{what} in colour ({', '.join(kind.names)}): a screenshot? Export the grey-level data"
        )
    if kind.kind not in "biuf":
        raise ValueError(f"{what} with {kind} values: real numbers are needed, not a phase or FFT")
    # Three signal axes: a stack in a format that does not tell frames from rows (NCEM's .emd).
    unmarked_stack = manager.signal_dimension == len(shape) == 3
    if manager.signal_dimension != 2 and not unmarked_stack:
        raise ValueError(
            f"{what} with {manager.signal_dimension} signal axes: a spectrum or a profile, not an "
            "image. Name the image with signal=, or turn the data with HyperSpy's as_signal2D"
        )
    if manager.navigation_dimension > 1:
        raise ValueError(
            f"{what}: a map of patterns (4D-STEM?), not an image or a stack of frames. Reduce it "
            "to one image with HyperSpy first, for example by summing over a virtual detector"
        )


def _plain_signal(signal) -> Signal2D:
    """A plain Signal2D, float32, with the axes and metadata of `signal` and nothing else of it."""
    from hyperspy.signals import LazySignal2D, Signal2D

    axes = signal.axes_manager._axes  # in the order of the array: frames, rows, columns
    kind = LazySignal2D if signal._lazy else Signal2D
    return kind(
        signal.data.astype(np.float32),
        axes=[axis.get_axis_dictionary() | {"navigate": True} for axis in axes[:-2]]
        + [_uniform(axis) for axis in axes[-2:]],
        metadata=signal.metadata.as_dictionary(),
        original_metadata=signal.original_metadata.as_dictionary(),
    )


def _uniform(axis) -> dict:
    """A signal axis as HyperSpy wants it; one of unequal steps gets the scale NaN: not usable."""
    keys = {"name": axis.name, "size": axis.size, "units": axis.units, "navigate": False}
    if not axis.is_uniform:
        return keys | {"scale": math.nan, "offset": 0.0}
    return keys | {"scale": float(axis.scale), "offset": float(axis.offset)}


def nm_per_unit(units) -> float | None:
    """Nanometres in one length unit as written in a file; None where it is no length."""
    return _NM_PER_UNIT.get(re.sub(r"[\s\[\]]", "", str(units)).lower())


def _calibrate(image: Signal2D, pixel_size_nm: float | None, path: Path) -> None:
    """Bring the signal axes to nm, or to px with scale 1 where the file gives no usable unit."""
    axes = image.axes_manager.signal_axes  # (columns, rows)
    factors = [nm_per_unit(axis.units) for axis in axes]
    usable = all(
        factor is not None and 0 < axis.scale < math.inf
        for axis, factor in zip(axes, factors, strict=True)
    )
    if pixel_size_nm is not None or not usable:
        if pixel_size_nm is None:
            _warn_uncalibrated(axes, path)
        for axis in axes:
            axis.scale, axis.offset = pixel_size_nm or 1.0, 0.0
            axis.units = "px" if pixel_size_nm is None else "nm"
        return
    for axis, factor in zip(axes, factors, strict=True):
        axis.scale, axis.offset, axis.units = axis.scale * factor, axis.offset * factor, "nm"
    columns, rows = (axis.scale for axis in axes)
    if abs(rows - columns) > UNEQUAL_SCALES * max(rows, columns):
        warnings.warn(
            f"{path.name}: rows are {rows:.6g} nm apart, columns {columns:.6g} nm. Angles and "
            "distances assume square pixels: resample the image, or give pixel_size_nm= if the "
            "file is wrong",
            stacklevel=3,
        )


def _warn_uncalibrated(axes, path: Path) -> None:
    found = ", ".join(f"{axis.scale:.6g} {str(axis.units)!r}" for axis in axes)
    warnings.warn(
        f"{path.name}: the file says {found} for the pixel size (columns, rows), which is no "
        "usable length; the axes stay in px. Give pixel_size_nm= if you know it",
        stacklevel=4,
    )
