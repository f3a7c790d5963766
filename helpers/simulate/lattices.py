"""Lattices drawn as sums of Gaussians, with the truth: what the segmenter is made and tested with.

Nothing here is a simulation of scattering. `data/training_images.py` adds faults, backgrounds and
the scan, and keeps out some lattices, so that tests can ask whether the segmenter transfers.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from ..images import neighbour_distance

SQUARE, HEXAGONAL = np.eye(2), np.array([[1, 0], [0.5, np.sqrt(0.75)]])
CELLS = {  # cell vectors, one a row; sites of the strong and of the weak columns in fractions
    "square": (SQUARE, [[0, 0]], []),
    "perovskite": (SQUARE, [[0, 0]], [[0.5, 0.5]]),
    "hexagonal": (HEXAGONAL, [[0, 0]], []),
    "honeycomb": (HEXAGONAL, [[1 / 3, 1 / 3]], [[2 / 3, 2 / 3]]),
    # [110] zone: rows of unlike ions, a checkerboard on a rectangular net
    "rock_salt": (np.diag([np.sqrt(2), 1]), [[0, 0], [0.5, 0.5]], [[0.5, 0], [0, 0.5]]),
    # [11-20] zone of an hcp metal: close-packed planes in the order ABAB
    "zigzag": (np.diag([np.sqrt(0.75), 1.633]), [[0, 0], [2 / 3, 0.5]], []),
    "oblique": (np.array([[1, 0], [0.4, 1.2]]), [[0, 0]], []),
    "dumbbells": (SQUARE, [[0, 0]], [[0.35, 0.15]]),
    # [100] zone, two perovskite layers: AO and BO2 planes by turns, then a gap and a step
    "ruddlesden_popper": (
        np.diag([1, 5.36]),
        [[0, 0], [0, 0.187], [0, 0.373], [0.5, 0.5], [0.5, 0.687], [0.5, 0.873]],
        [[0.5, 0.093], [0.5, 0.28], [0, 0.593], [0, 0.78]],
    ),
}


@dataclass(frozen=True)
class LatticeImage:
    """One simulated image and its truth.

    Attributes
    ----------
    image : (H, W) float32
        Detector counts.
    positions : (N, 2) float64
        [row, column] in px of every column whose centre lies on the image.
    light : (N,) bool
        Whether the column is one of the weak ones.
    """

    image: np.ndarray
    positions: np.ndarray
    light: np.ndarray


def lattice_image(
    shape=(128, 128), *, rng: np.random.Generator, kind="square", spacing_px=10.0, angle_rad=None,
    peak_counts=100.0, second_intensity=0.6, sigma_px=None, background=0.3,
) -> LatticeImage:  # fmt: skip
    """Draw a perfect crystal in shot noise.

    Parameters
    ----------
    shape : (rows, columns)
    rng : numpy.random.Generator
        The only source of chance.
    kind : str
        One of `CELLS`.
    spacing_px : float
        Distance between nearest neighbours, in pixels.
    angle_rad : float, optional
        Counter-clockwise turn of the lattice; drawn when not given.
    peak_counts : float
        Mean counts at the strongest peak above the background.
    second_intensity : float
        Height of the weak columns, if the lattice has any, over that of the strong ones.
    sigma_px : float, optional
        Width of a column; 0.22 of `spacing_px` when not given.
    background : float
        Level in units of the strongest peak.
    """
    if kind not in CELLS:
        raise ValueError(f"kind={kind!r} is not a lattice known here; use one of {sorted(CELLS)}")
    vectors, strong, weak = CELLS[kind]
    basis, light = np.array([*strong, *weak], float), np.arange(len(strong + weak)) >= len(strong)
    vectors = vectors * spacing_px / nearest_distance(vectors, basis)
    sites = np.column_stack([basis, np.where(light, second_intensity, 1), light])
    angle = rng.uniform(-np.pi, np.pi) if angle_rad is None else angle_rad
    columns = crystal(vectors, sites, angle, shape)
    clean = render_columns(shape, columns[:, :2], columns[:, 2], sigma_px or 0.22 * spacing_px)
    counts = rng.poisson((clean + background) * peak_counts).astype(np.float32)
    inside = ((columns[:, :2] >= -0.5) & (columns[:, :2] < np.array(shape) - 0.5)).all(axis=1)
    return LatticeImage(counts, columns[inside, :2], columns[inside, 3] > 0)


def crystal(vectors: np.ndarray, sites: np.ndarray, angle_rad: float, shape) -> np.ndarray:
    """Columns (N, 2 + ...) on an image and two cells around it.

    Parameters
    ----------
    vectors : (2, 2)
        Cell vectors, one a row, as (x to the right, y upwards) in pixels.
    sites : (n, 2 + ...)
        Fractions of the vectors; further numbers of a site are handed on.
    angle_rad : float
        Counter-clockwise turn.
    """
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    cell = (vectors @ [[cos, sin], [-sin, cos]])[:, ::-1] * [-1, 1]  # rows point down
    centre = (np.array(shape) - 1) / 2
    corners = np.array([[1, 1], [1, -1]]) * (centre + 1)
    reach = int(np.abs(corners @ np.linalg.inv(cell)).max()) + 3
    offset = _places(cell, sites[:, :2], reach)
    near = (np.abs(offset) < centre + 2 * np.linalg.norm(cell, axis=1).min()).all(axis=1)
    about = np.tile(sites[:, 2:], (len(offset) // len(sites), 1))
    return np.column_stack([offset + centre, about])[near]


def _places(vectors, basis, reach: int) -> np.ndarray:
    """Columns (N, 2) of the cells up to `reach` away from the origin's, cell by cell."""
    cells = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), -1).reshape(-1, 1, 2)
    return ((cells + basis) @ vectors).reshape(-1, 2)


def nearest_distance(vectors: np.ndarray, basis: np.ndarray) -> float:
    """Shortest distance between two columns of the endless lattice, in the unit of `vectors`."""
    return float(neighbour_distance(_places(vectors, basis, 2)).min())


def render_columns(shape, positions, amplitude, sigma_px) -> np.ndarray:
    """Sum of round Gaussians (H, W), each cut off at 4 sigma in rows and in columns."""
    sigma = np.broadcast_to(sigma_px, len(positions))[:, None]
    steps = [(np.arange(n) - at[:, None]) / sigma for n, at in zip(shape, positions.T, strict=True)]
    rows, cols = (np.exp(-(step**2) / 2) * (np.abs(step) < 4) for step in steps)  # (N, H), (N, W)
    return (rows.T * amplitude) @ cols


def column_target(shape, positions, radius_px: float) -> np.ndarray:
    """Share of each pixel (H, W) that lies within `radius_px` of a column."""
    pixels = np.moveaxis(np.indices(shape), 0, -1)
    nearest = KDTree(positions).query(pixels, distance_upper_bound=radius_px + 1)[0]
    return np.clip(radius_px + 0.5 - nearest, 0, 1).astype(np.float32)
