"""Load a microscope file as a HyperSpy image or stack whose axes are in nanometres: the door."""

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
        A .dm3, .dm4, .emd (Velox or NCEM), .ser or .emi, .tif, .mrc, .hspy, .zspy file, or any
        other that HyperSpy reads.
    pixel_size_nm : float, optional
        Size of a (square) pixel in nm, in place of what the file says.
    signal : int or str, optional
        Index or title of the signal, where the file holds several.
    lazy : bool, optional
        Leave the pixels on disk until they are asked for; by default in files over 1 GiB.
    untrusted : bool
        Read in a process of its own, with limits of 60 s and 2 GiB: for a file that may be damaged
        or hostile. Then of the metadata the title alone comes along.

    Returns
    -------
    hyperspy.signals.Signal2D
        float32, shape (rows, columns) or (frames, rows, columns). The signal axes are in nm; where
        the file gives no usable unit they stay in px with scale 1. Metadata is kept; fitted models,
        which HyperSpy stores as pickles, are not.

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
    as_pixel_size(pixel_size_nm)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; the current folder is {Path.cwd()}")
    if untrusted:
        return read_in_child(path, pixel_size_nm=pixel_size_nm, signal=signal)
    return read_image(path, pixel_size_nm=pixel_size_nm, signal=signal, lazy=lazy)
