"""Load a microscope file as a HyperSpy image or stack whose axes are in nanometres: the door."""

from numbers import Integral
from pathlib import Path

from ..images import as_pixel_size
from .read import read_image
from .untrusted import read_in_child


def load_image(
    path: str | Path,
    *,
    pixel_size_nm: float | None = None,
    signal: int | str | None = None,
    lazy: bool | None = None,
    untrusted: bool = False,
):
    """Load one image, or one stack of images, from a microscope file.

    Parameters
    ----------
    path : str or pathlib.Path
        A .dm3, .dm4, .emd (Velox or NCEM), .ser or .emi, .tif (also of ImageJ, or OME), .mrc,
        .hspy, .zspy, .npy file, one of Nion Swift (.ndata, .h5), or of most others that HyperSpy
        reads.
    pixel_size_nm : float, optional
        Size of a (square) pixel in nm, in place of what the file says.
    signal : int or str, optional
        Index or title of the signal, where the file holds several. Channels of one scan (ADF, BF),
        if the file says that an axis is that, count as signals: they are never taken for frames.
    lazy : bool, optional
        Leave the pixels on disk until they are asked for; by default in files over 1 GiB.
    untrusted : bool
        Read in a process of its own, with limits of 60 s and 2 GiB, that ends with this one: for a
        file that may be damaged or hostile. What crashes or hangs the reader is then a ValueError.
        Never lazy; of the metadata the title alone comes along. The process is no sandbox: it may
        read and write what you may. See the notes.

    Returns
    -------
    hyperspy.signals.Signal2D
        float32, shape (rows, columns) or (frames, rows, columns). The signal axes are in nm; where
        the file gives no usable unit they stay in px with scale 1. The axis of the frames keeps the
        name and unit that the file gives (time, depth, tilt). Metadata is kept; fitted models,
        which HyperSpy stores as pickles, are not.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read, holds several signals and `signal` does not name one, or the
        signal is no grey-level image or stack of them. If the file could run code, or leads to
        other files: the message says what was found, and a way out.

    Warns
    -----
    UserWarning
        If the file gives no usable length unit, or its rows and columns are spaced unequally.

    Notes
    -----
    Nothing in a file is run, with or without `untrusted`. Formulas of axes, pickles, links to other
    files and parts that are links are refused before a reader sees them; formats whose readers run
    what they read are refused by name. What remains are faults of the readers themselves: some are
    written in C, and a file made for such a fault can take over the process that reads it. Open
    what may be hostile as another user, or on another machine.
    """
    path = Path(path).expanduser()
    pixel_size_nm = as_pixel_size(pixel_size_nm)
    if isinstance(signal, Integral) and not isinstance(signal, bool):
        signal = int(signal)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; the current folder is {Path.cwd()}")
    if untrusted:
        return read_in_child(path, pixel_size_nm=pixel_size_nm, signal=signal)
    return read_image(path, pixel_size_nm=pixel_size_nm, signal=signal, lazy=lazy)
