"""Maxima of a map, to a fraction of a pixel."""

from itertools import product

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

PROBABILITY_OF_A_COLUMN = 0.5
BLOCK_PX = 1024  # the size of the disks is measured in the block that has most of them


def probability_peaks(probability: np.ndarray) -> np.ndarray:
    """Sub-pixel positions (N, 2) of the columns that a probability map (H, W) shows."""
    likely = probability > PROBABILITY_OF_A_COLUMN
    if not likely.any():
        return np.empty((0, 2))
    radius = _disk_radius(likely)
    smooth = ndimage.gaussian_filter(probability, max(0.8, radius / 2.5))
    reach = max(1, round(radius / 2))
    highest = likely & (ndimage.maximum_filter(smooth, size=2 * reach + 1) == smooth)
    spots = np.argwhere(highest)
    # Of the pixels of one flat top the first one stays.
    level = cKDTree(spots).query_pairs(1.5, output_type="ndarray")
    spots = np.delete(spots, level[:, 1], axis=0)
    padded = np.pad(smooth, 1, mode="edge")
    refined = spots + parabola_vertex(padded, spots + 1)
    last = np.array(smooth.shape) - 1
    return np.clip(refined, 0, last)


def _disk_radius(likely: np.ndarray) -> float:
    """Radius in pixels of the disks that are True in (H, W), where there are most of them."""
    row_starts = range(0, likely.shape[0], BLOCK_PX)
    col_starts = range(0, likely.shape[1], BLOCK_PX)
    starts = product(row_starts, col_starts)
    blocks = [likely[row : row + BLOCK_PX, col : col + BLOCK_PX] for row, col in starts]
    block = max(blocks, key=np.count_nonzero)
    from_rim = ndimage.distance_transform_edt(block)
    # Half the area of a disk lies within 0.29 of its radius from the rim.
    return np.median(from_rim[block]) / 0.29


def parabola_vertex(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Sub-pixel offsets (N, 2) of maxima inside `values`, by a parabola along each axis."""
    offset = np.zeros(at.shape)
    least_bend = 1e-12 * np.abs(values).max()
    for axis, step in enumerate(np.eye(2, dtype=int)):
        before = values_at(values, at - step)
        here = values_at(values, at)
        after = values_at(values, at + step)
        bend = np.maximum(2 * here - before - after, least_bend)
        vertex = (after - before) / (2 * bend)
        offset[:, axis] = np.clip(vertex, -0.5, 0.5)
    return offset


def values_at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The values (N,) of an image (H, W) at the pixels nearest to places (N, 2)."""
    row, col = np.rint(places).astype(int).T
    return values[row, col]
