"""Cut one square window around each column, centred to a fraction of a pixel."""

import numpy as np
from scipy import ndimage

from ..images import as_image, as_positions, as_whole, border_distance, one_each
from .harmonics import pixel_offsets

CHUNK_SAMPLES = 2**20  # samples at a time: float64 copies of them take 8 MB each


def cut_subimages(image, positions, window_px: int, *, turn=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Sub-images of `window_px` pixels, each centred on the sub-pixel position of its column.

    Intensities stay as they are. They are sampled at the offsets ``i - (w - 1)/2`` by a cubic
    spline: a linear interpolation would smooth the noise by an amount that depends on where in its
    pixel the column lies.

    Parameters
    ----------
    image : (H, W) array or hyperspy Signal2D
    positions : (N, 2) array or Columns
        [row, column] in pixels; those that are not finite are left out.
    window_px : int
        Side of the window, odd or even, at least 2.
    turn : (N,) or one number, radians
        Turn the grid on which each window is sampled, so that what it shows is turned
        counter-clockwise by this angle: to try what a model makes of a known turn.

    Returns
    -------
    stack : (M, w, w) float32
    kept : (M,) int
        Indices into `positions`, ascending, of all windows whose samples lie inside the image.

    Raises
    ------
    ValueError
        If the window is not a whole number of at least 2, no window lies inside the image, or the
        turns are not one for each position.
    """
    values, places = as_image(image), as_positions(positions)
    window_px = as_whole("window_px", window_px, 2)
    turn = np.broadcast_to(one_each(turn, places, "turn") if np.ndim(turn) else turn, len(places))
    kept = inside_image(values.shape, places, window_px, turn)
    if len(kept) == 0:
        raise ValueError(_nothing_kept(values.shape, places, window_px))
    spline = ndimage.spline_filter(values, order=3, output=np.float64, mode="mirror")
    offset = pixel_offsets(window_px)
    grid = offset - 1j * offset[:, None]  # (w, w), x to the right and i y upwards
    stack = np.empty((len(kept), window_px, window_px), dtype=np.float32)
    count = 1 + len(kept) * window_px**2 // CHUNK_SAMPLES
    for part in np.array_split(np.arange(len(kept)), count):
        here = kept[part][:, None, None]
        around = grid * np.exp(-1j * turn[here])  # (m, w, w)
        at = places[here, 0] - around.imag, places[here, 1] + around.real
        stack[part] = ndimage.map_coordinates(spline, at, order=3, mode="mirror", prefilter=False)
    return stack, kept


def inside_image(shape: tuple[int, int], positions, window_px: int, turn=0.0) -> np.ndarray:
    """Ascending indices of the positions whose turned window lies inside an image."""
    reach = (window_px - 1) / 2 * (np.abs(np.cos(turn)) + np.abs(np.sin(turn)))
    return np.flatnonzero(border_distance(positions, shape) >= reach)


def _nothing_kept(shape, positions, window_px) -> str:
    """What went wrong, with the largest window that keeps half of the columns."""
    rule = f"window_px={window_px} leaves none of {len(positions)} columns inside the image"
    largest = int(2 * np.nanmedian(border_distance(positions, shape)) + 1)
    if largest < 2:
        return f"{rule} of {shape} pixels: check that positions are [row, column] in its pixels"
    return f"{rule}; use {min(largest, window_px - 1)} or less, or crop less"
