"""Lattices drawn as sums of Gaussians, with the truth: what the segmenter is made and tested with.

Nothing here is a simulation of scattering. `training_images.py` adds faults, backgrounds and
the scan, and keeps out some lattices, so that tests can ask whether the segmenter transfers.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from ..images import neighbour_distance

SQUARE = np.eye(2)
HEXAGONAL = np.array([[1, 0], [0.5, np.sqrt(0.75)]])
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
    shape=(128, 128),
    *,
    rng: np.random.Generator,
    kind="square",
    spacing_px=10.0,
    angle_rad=None,
    peak_counts=100.0,
    second_intensity=0.6,
    sigma_px=None,
    background=0.3,
) -> LatticeImage:
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
    vectors, sites = _scaled_cell(kind, spacing_px, second_intensity)
    if angle_rad is None:
        angle_rad = rng.uniform(-np.pi, np.pi)
    if not sigma_px:
        sigma_px = 0.22 * spacing_px
    columns = crystal(vectors, sites, angle_rad, shape)
    positions = columns[:, :2]
    clean = render_columns(shape, positions, columns[:, 2], sigma_px)
    counts = rng.poisson((clean + background) * peak_counts)
    inside = ((positions >= -0.5) & (positions < np.array(shape) - 0.5)).all(axis=1)
    is_light = columns[inside, 3] > 0
    return LatticeImage(counts.astype(np.float32), positions[inside], is_light)


def _scaled_cell(kind: str, spacing_px: float, second_intensity: float):
    """Cell vectors (2, 2) in pixels; sites (n, 4): fractions of them, height, whether light."""
    vectors, strong, weak = CELLS[kind]
    basis = np.array([*strong, *weak], float)
    light = np.arange(len(basis)) >= len(strong)
    height = np.where(light, second_intensity, 1)
    sites = np.column_stack([basis, height, light])
    return vectors * spacing_px / nearest_distance(vectors, basis), sites


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
    cos = np.cos(angle_rad)
    sin = np.sin(angle_rad)
    turned = vectors @ [[cos, sin], [-sin, cos]]
    cell = turned[:, ::-1] * [-1, 1]  # rows point down
    centre = (np.array(shape) - 1) / 2
    corners = np.array([[1, 1], [1, -1]]) * (centre + 1)
    corners_in_cells = corners @ np.linalg.inv(cell)
    reach = int(np.abs(corners_in_cells).max()) + 3
    offset = _places(cell, sites[:, :2], reach)
    sides_px = np.linalg.norm(cell, axis=1)
    limit_px = centre + 2 * sides_px.min()
    near = (np.abs(offset) < limit_px).all(axis=1)
    about = np.tile(sites[:, 2:], (len(offset) // len(sites), 1))
    return np.column_stack([offset + centre, about])[near]


def _places(vectors, basis, reach: int) -> np.ndarray:
    """Columns (N, 2) of the cells up to `reach` away from the origin's, cell by cell."""
    steps = np.arange(-reach, reach + 1)
    cells = np.stack(np.meshgrid(steps, steps), -1)
    sites = cells.reshape(-1, 1, 2) + basis
    return (sites @ vectors).reshape(-1, 2)


def nearest_distance(vectors: np.ndarray, basis: np.ndarray) -> float:
    """Shortest distance between two columns of the endless lattice, in the unit of `vectors`."""
    places = _places(vectors, basis, 2)
    return float(neighbour_distance(places).min())


def render_columns(shape, positions, amplitude, sigma_px) -> np.ndarray:
    """Sum of round Gaussians (H, W), each cut off at 4 sigma in rows and in columns."""
    height, width = shape
    row, col = positions.T
    sigma = np.broadcast_to(sigma_px, len(positions))
    along_rows = _cut_gaussians(height, row, sigma)  # (N, H)
    along_cols = _cut_gaussians(width, col, sigma)  # (N, W)
    return (along_rows.T * amplitude) @ along_cols


def _cut_gaussians(n_pixels: int, centre_px: np.ndarray, sigma_px: np.ndarray) -> np.ndarray:
    """Profiles (N, n_pixels) of Gaussians along one axis, each cut off at 4 sigma."""
    step = (np.arange(n_pixels) - centre_px[:, None]) / sigma_px[:, None]
    inside = np.abs(step) < 4
    return np.exp(-(step**2) / 2) * inside


def column_target(shape, positions, radius_px: float) -> np.ndarray:
    """Share of each pixel (H, W) that lies within `radius_px` of a column."""
    pixels = np.moveaxis(np.indices(shape), 0, -1)
    tree = KDTree(positions)
    distance_px, _ = tree.query(pixels, distance_upper_bound=radius_px + 1)
    share = np.clip(radius_px + 0.5 - distance_px, 0, 1)
    return share.astype(np.float32)
