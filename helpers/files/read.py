"""Read a microscope file: look through it, choose the signal, check that it is an image."""

import logging
import math
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .calibrate import calibrated
from .choose import axes_of as axes_of, choose
from .guard_hdf5 import refuse_risky_hdf5
from .guard_paths import files_beside, refuse_other_places
from .guard_signals import checked_signal
from .guard_zarr import refuse_risky_zarr
from .readers import reader_of
from .refusal import EXPORT, SIGNAL_OPTION, Refused, as_one_line

LAZY_ABOVE_BYTES = 2**30
_TALKATIVE = ("hyperspy", "rsciio", "tifffile", "PIL", "imageio", "zarr", "numcodecs")


def read_image(path: Path, *, pixel_size_nm=None, signal=None, lazy: bool | None = None):
    """What `load_image` returns, with its errors and warnings."""
    with _quiet_libraries(), _every_error_named(path):
        # Nested, so that the signals that are not chosen leave the memory.
        chosen = choose(_read(path, lazy), signal, path)
        _check_is_image(chosen, path)
        return _plain_signal(chosen, pixel_size_nm, path)


@contextmanager
def _quiet_libraries():
    """Let the libraries tell nothing inside the block, and afterwards as much as before."""
    # Its import sets the level, and so must come first.
    import hyperspy.api  # noqa: F401

    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _every_error_named(path: Path):
    """Turn what is no plain ValueError, as damaged metadata can cause anywhere, into one."""
    try:
        yield
    except Refused as refused:
        raise ValueError(str(refused)) from None
    except ValueError:
        raise
    except Exception as error:
        raise _as_damaged(path, error) from error


def _as_damaged(path: Path, error: Exception) -> ValueError:
    if isinstance(error, MemoryError):
        return ValueError(
            f"{path} needs more memory than there is: damaged? If not, {EXPORT}, cropped or binned"
        )
    said = as_one_line(f"{type(error).__name__}: {error}")
    return ValueError(
        f"{path} could not be read ({said}): "
        f"is it damaged, or of another format than its ending? Copy it again, or {EXPORT}"
    )


def _read(path: Path, lazy: bool | None) -> list:
    """All signals of a file; whatever the reader raises becomes a ValueError with the file name."""
    import hyperspy.api as hs

    # Warnings of the libraries count if the file is read, and are noise if it is refused.
    with warnings.catch_warnings(record=True) as caught:
        try:
            _look_through(path)
            reader = _CheckedReader(reader_of(path), path)
            loaded = hs.load(path, file_format=reader, **_reader_options(path, lazy))
        except Refused:
            raise
        except Exception as error:
            raise _as_damaged(path, error) from error
    for one in caught:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    signals = loaded if isinstance(loaded, list) else [loaded]
    if not signals:
        _refuse_empty(path)
    return signals


class _CheckedReader:
    """A reader whose signals are looked through before HyperSpy makes anything of them."""

    def __init__(self, module, path: Path):
        self._module = module
        self._path = path
        self.__loader__ = module.__loader__  # HyperSpy notes the reader's name in the metadata

    def file_reader(self, filename: str, **options) -> list[dict]:
        signals = self._module.file_reader(filename, **options)
        return [checked_signal(signal, self._path) for signal in signals]


def _look_through(path: Path) -> None:
    """Refuse, before any reader sees it, what a reader must not be given."""
    suffix = path.suffix.lower()
    if path.is_dir() and suffix != ".zspy":
        raise Refused(path, "it is a folder", "name one file in it")
    if not path.is_dir() and not path.is_file():
        raise Refused(path, "it is no file", "copy the data into one")
    refuse_other_places(path)
    if suffix == ".zspy":
        refuse_risky_zarr(path)
    elif path.is_file():
        refuse_risky_hdf5(path)
    if suffix == ".mrc":
        _refuse_short_mrc(path)


def _reader_options(path: Path, lazy: bool | None) -> dict:
    if lazy is None:
        lazy = _size_bytes(path) > LAZY_ABOVE_BYTES
    options = {"lazy": bool(lazy)}
    if path.suffix.lower() == ".hspy" or path.is_dir():
        options["mode"] = "r"  # else a lazy file is opened for writing
    return options


def _size_bytes(path: Path) -> int:
    parts = [path, *files_beside(path)]
    if path.is_dir():
        parts = path.rglob("*")
    return sum(part.stat().st_size for part in parts)


def _refuse_short_mrc(path: Path) -> None:
    """A damaged .mrc header can claim a size that keeps its reader busy for minutes."""
    shape = np.fromfile(path, "<u4", 3)
    claimed = math.prod(int(count) for count in shape)
    size = path.stat().st_size
    if claimed > size:
        raise Refused(path, f"its header claims {claimed} pixels, but it has {size} bytes")


def _refuse_empty(path: Path) -> None:
    """Say what is missing where a reader finds no signal at all."""
    if path.suffix.lower() != ".emi":
        raise Refused(path, "there is no image in it")
    if files_beside(path):
        raise Refused(path, "its .ser files are not found or not read", "open each .ser itself")
    missing = f"{path.stem}_1.ser"
    raise Refused(
        path,
        f"an .emi holds no pixels, and {missing} (or _2.ser, and so on) is not beside it",
        f"copy the .ser files of the recording into {path.absolute().parent}",
    )


def _check_is_image(signal, path: Path) -> None:
    """Refuse, with a way out, what is not a grey-level image or a stack of them."""
    kind = signal.data.dtype
    shape = signal.data.shape
    manager = signal.axes_manager
    # Three signal axes: a stack in a format that does not tell frames from rows (NCEM's .emd).
    is_image = manager.signal_dimension == 2 or manager.signal_dimension == len(shape) == 3
    names = ", ".join(str(axis.name) for axis in axes_of(signal)[:-2])
    another = f"choose another signal with {SIGNAL_OPTION}, or {EXPORT}"
    faults = [
        (0 in shape, "it is empty", another),
        (kind.names, f"it is in colour {kind.names}, a screenshot?", "export the grey-level data"),
        (kind.kind not in "biuf", f"{kind} values, but real numbers are needed", another),
        (not is_image, "a spectrum or profile, not an image", f"{another}, or as_signal2D"),
        (
            manager.navigation_dimension > 1,
            f"patterns (4D-STEM?), or a stack of stacks, along {names}",
            "choose one or sum them in HyperSpy (signal.inav, signal.sum) and save as .hspy",
        ),
    ]
    for fault, message, way_out in faults:
        if fault:
            raise Refused(path, f"it holds a signal of shape {shape}: {message}", way_out)


def _plain_signal(signal, pixel_size_nm: float | None, path: Path):
    """A plain Signal2D, float32, with the metadata of `signal`, calibrated, and nothing else."""
    from hyperspy.signals import LazySignal2D, Signal2D

    *frames, rows, columns = axes_of(signal)
    # NCEM's format takes that of the frames for a signal axis.
    frames = [axis.get_axis_dictionary() | {"navigate": True} for axis in frames]
    rows_and_columns = calibrated([rows, columns], pixel_size_nm, path)
    plain = LazySignal2D if signal._lazy else Signal2D
    return plain(
        signal.data.astype(np.float32),
        axes=[*frames, *rows_and_columns],
        metadata=signal.metadata.as_dictionary(),
        original_metadata=signal.original_metadata.as_dictionary(),
    )
