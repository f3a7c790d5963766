"""Maxima of a map, to a fraction of a pixel."""

import numpy as np
from scipy import ndimage

PROBABILITY_OF_A_COLUMN = 0.5


def probability_peaks(probability: np.ndarray) -> np.ndarray:
    """Sub-pixel positions (N, 2) of the columns that a probability map (H, W) shows."""
    likely = probability > PROBABILITY_OF_A_COLUMN
    if not likely.any():
        return np.empty((0, 2))
    # Half the area of a disk lies within 0.29 of its radius from the rim.
    radius = np.median(ndimage.distance_transform_edt(likely)[likely]) / 0.29
    smooth = ndimage.gaussian_filter(probability, max(0.8, radius / 2.5))
    reach = max(1, round(radius / 2))
    highest = ndimage.maximum_filter(smooth, size=2 * reach + 1) == smooth
    labels, count = ndimage.label(highest & likely, structure=np.ones((3, 3)))
    spots = ndimage.center_of_mass(highest, labels, np.arange(1, count + 1))
    spots = np.rint(spots).astype(int).reshape(-1, 2)
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
