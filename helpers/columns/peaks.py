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
    starts = product(*(range(0, n, BLOCK_PX) for n in likely.shape))
    blocks = [likely[row : row + BLOCK_PX, col : col + BLOCK_PX] for row, col in starts]
    block = max(blocks, key=np.count_nonzero)
    # Half the area of a disk lies within 0.29 of its radius from the rim.
    radius = np.median(ndimage.distance_transform_edt(block)[block]) / 0.29
    smooth = ndimage.gaussian_filter(probability, max(0.8, radius / 2.5))
    reach = max(1, round(radius / 2))
    highest = likely & (ndimage.maximum_filter(smooth, size=2 * reach + 1) == smooth)
    spots = np.argwhere(highest)
    level = cKDTree(spots).query_pairs(1.5, output_type="ndarray")  # pixels of one flat top
    spots = np.delete(spots, level[:, 1], axis=0)
    refined = spots + parabola_vertex(np.pad(smooth, 1, mode="edge"), spots + 1)
    return np.clip(refined, 0, np.array(smooth.shape) - 1)


def parabola_vertex(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Sub-pixel offsets (N, 2) of maxima inside `values`, by a parabola along each axis."""
    offset = np.zeros(at.shape)
    for axis, step in enumerate(np.eye(2, dtype=int)):
        before, here, after = (values[tuple((at + k * step).T)] for k in (-1, 0, 1))
        bend = np.maximum(2 * here - before - after, 1e-12 * np.abs(values).max())
        offset[:, axis] = np.clip((after - before) / (2 * bend), -0.5, 0.5)
    return offset
