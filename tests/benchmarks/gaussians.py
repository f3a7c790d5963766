"""Images of Gaussian columns with known parameters, and the limit that counting sets to a fit."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

SIGMA_PX = 2.4
AMPLITUDE = 36.0
BACKGROUND = 4.0
MARGIN_PX = 16


def square_lattice(count: int, spacing: float, *, seed: int = 0) -> np.ndarray:
    """Positions (count**2, 2) of a square lattice; each column is moved by up to half a pixel."""
    sites = MARGIN_PX + spacing * np.stack(np.mgrid[:count, :count], axis=-1).reshape(-1, 2)
    return sites + np.random.default_rng(seed).uniform(-0.5, 0.5, sites.shape)


def render_columns(positions, *, amplitude=AMPLITUDE, sigma=SIGMA_PX, shape=None) -> np.ndarray:
    """Sum of Gaussians (H, W) without background, each drawn out to six sigma."""
    if shape is None:
        shape = tuple(np.ceil(positions.max(axis=0) + MARGIN_PX).astype(int))
    amplitude = np.broadcast_to(amplitude, len(positions))
    image = np.zeros(shape)
    reach = int(np.ceil(6 * sigma))
    for (row, col), height in zip(positions, amplitude, strict=True):
        rows = np.arange(max(0, round(row) - reach), min(shape[0], round(row) + reach + 1))
        cols = np.arange(max(0, round(col) - reach), min(shape[1], round(col) + reach + 1))
        squared = (rows[:, None] - row) ** 2 + (cols - col) ** 2
        image[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] += height * np.exp(
            -squared / (2 * sigma**2)
        )
    return image


def column_probability(positions, shape, *, radius: float = SIGMA_PX) -> np.ndarray:
    """Soft disks (H, W) at the whole-pixel positions: what a good segmenter would hand on."""
    pixels = np.stack(np.mgrid[: shape[0], : shape[1]], axis=-1)
    distance = cKDTree(np.round(positions)).query(pixels)[0]
    return (1 / (1 + np.exp(3 * (distance - radius)))).astype(np.float32)


def crowded_bound_px(spacing: float) -> float:
    """Cramér-Rao bound of the middle one of five times five columns, as `cramer_rao_px` else.

    Row, column, amplitude and sigma of each column and the background are free.
    """
    steps = spacing * np.arange(-2, 3)
    reach = np.arange(-np.ceil(6 * SIGMA_PX + steps[-1]), np.ceil(6 * SIGMA_PX + steps[-1]) + 1)
    variances = []
    for shift in (-0.375, -0.125, 0.125, 0.375):
        counts, slopes = np.full((len(reach), len(reach)), BACKGROUND), []
        for row in steps:
            for col in steps:
                y, x = np.meshgrid(reach - shift - row, reach - shift - col, indexing="ij")
                height = AMPLITUDE * np.exp(-(y**2 + x**2) / (2 * SIGMA_PX**2))
                counts = counts + height
                slopes += [height * y, height * x, height, height * (y**2 + x**2)]
        slopes = np.stack([*slopes, np.ones_like(counts)]).reshape(len(slopes) + 1, -1)
        middle = 4 * (len(steps) ** 2 // 2)
        variance = np.linalg.inv(slopes / counts.ravel() @ slopes.T)[middle, middle]
        variances.append(variance * SIGMA_PX**4)  # slopes by row lack a factor 1 / sigma**2
    return float(np.sqrt(np.mean(variances)))


def match(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Index (N,) of the found column nearest to each true one."""
    return cKDTree(found).query(truth)[1]
