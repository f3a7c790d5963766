"""Cut one square window around each column, centred to a fraction of a pixel."""

import numpy as np
from scipy import ndimage

from ..images import as_image, as_positions, as_whole, border_distance, one_each
from .harmonics import pixel_offsets

CHUNK_SAMPLES = 2**20  # samples at a time: float64 copies of them take 8 MB each


def cut_subimages(
    image,
    positions,
    window_px: int,
    *,
    turn=0.0,
) -> tuple[np.ndarray, np.ndarray]:
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
    values = as_image(image)
    places = as_positions(positions)
    window_px = as_whole("window_px", window_px, 2)
    if np.ndim(turn):
        turn = one_each(turn, places, "turn")
    turn = np.broadcast_to(turn, len(places))
    kept = inside_image(values.shape, places, window_px, turn)
    if len(kept) == 0:
        message = _nothing_kept(values.shape, places, window_px)
        raise ValueError(message)
    spline = ndimage.spline_filter(
        values,
        order=3,
        output=np.float64,
        mode="mirror",
    )
    stack = np.empty((len(kept), window_px, window_px), dtype=np.float32)
    windows = np.arange(len(kept))
    chunk_count = 1 + len(kept) * window_px**2 // CHUNK_SAMPLES
    for part in np.array_split(windows, chunk_count):
        columns = kept[part]
        stack[part] = _sample(spline, places[columns], window_px, turn[columns])
    return stack, kept


def _sample(
    spline: np.ndarray,
    centres: np.ndarray,
    window_px: int,
    turn: np.ndarray,
) -> np.ndarray:
    """Windows (m, w, w) around centres (m, 2), each on a grid turned by its angle (m,)."""
    offset = pixel_offsets(window_px)
    grid = offset - 1j * offset[:, None]  # (w, w), x to the right and i y upwards
    phase = turn[:, None, None]
    around = grid * np.exp(-1j * phase)  # (m, w, w)
    centre_row = centres[:, 0, None, None]
    centre_col = centres[:, 1, None, None]
    row = centre_row - around.imag  # rows run down
    col = centre_col + around.real
    return ndimage.map_coordinates(
        spline,
        (row, col),
        order=3,
        mode="mirror",
        prefilter=False,
    )


def inside_image(
    shape: tuple[int, int],
    positions,
    window_px: int,
    turn=0.0,
) -> np.ndarray:
    """Ascending indices of the positions whose turned window lies inside an image."""
    half_width_px = (window_px - 1) / 2
    cos = np.abs(np.cos(turn))
    sin = np.abs(np.sin(turn))
    reach_px = half_width_px * (cos + sin)
    room_px = border_distance(positions, shape)
    return np.flatnonzero(room_px >= reach_px)


def _nothing_kept(
    shape: tuple[int, int],
    positions: np.ndarray,
    window_px: int,
) -> str:
    """What went wrong, with the largest window that keeps half of the columns."""
    room_px = border_distance(positions, shape)
    largest_px = int(2 * np.nanmedian(room_px) + 1)
    if largest_px < 2:
        return (
            f"window_px={window_px} leaves none of {len(positions)} columns inside the image "
            f"of {shape} pixels: check that positions are [row, column] in its pixels"
        )
    fitting_px = min(largest_px, window_px - 1)
    return (
        f"window_px={window_px} leaves none of {len(positions)} columns inside the image; "
        f"use {fitting_px} or less, or crop less"
    )
