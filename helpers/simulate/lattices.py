"""Images of many lattices as sums of Gaussians, with the truth: what the segmenter learns from.

Nothing here is a simulation of scattering. Each column is one Gaussian peak; what varies is
everything that a network must not depend on: lattice, spacing, orientation, peak width, intensity,
background, faults, scan jitter, dose, gain and offset.

Kept out on purpose, so that tests can ask whether the segmenter transfers: Ruddlesden-Popper
phases along [110], GaAs-like dumbbells along [110], kagome lattices, and hcp metals along [0001]
(the honeycombs below always have two unlike sites).
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
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
}
KINDS = (*CELLS, "ruddlesden_popper", "dumbbells", "oblique")


@dataclass(frozen=True)
class LatticeImage:
    """One simulated image and its truth.

    Attributes
    ----------
    image : (H, W) float32
        Detector counts times a gain plus an offset.
    positions : (N, 2) float64
        [row, column] in px of every column whose centre lies on the image.
    target : (H, W) float32
        1 at the centre of a column, falling as a Gaussian to 0 between columns.
    spacing_px : float
        Distance between nearest neighbours.
    kind : str
        One of `KINDS`.
    """

    image: np.ndarray
    positions: np.ndarray
    target: np.ndarray
    spacing_px: float
    kind: str


def lattice_image(
    shape=(128, 128), *, rng: np.random.Generator, kind=None, spacing_px=10.0, angle_rad=None,
    peak_counts=None, second_intensity=None, faults=1.0, target_sigma_px=None,
) -> LatticeImage:  # fmt: skip
    """Draw one image of a lattice.

    Parameters
    ----------
    shape : (rows, columns)
    rng : numpy.random.Generator
        The only source of chance.
    kind : str, optional
        One of `KINDS`; drawn when not given.
    spacing_px : float
        Distance between nearest neighbours, in pixels.
    angle_rad : float, optional
        Counter-clockwise turn of the lattice; drawn when not given.
    peak_counts : float, optional
        Mean counts at the strongest peak above the background; drawn from 1 to 1000 when not given.
    second_intensity : float, optional
        Height of the weaker columns of a lattice with two kinds of site, relative to the stronger;
        drawn from 0.25 to 0.95 when not given. Dumbbells draw their own.
    faults : float
        Scale of everything that disturbs the lattice: 0 gives a perfect crystal on an even
        background (with noise), 1 the variety that the segmenter is trained on.
    target_sigma_px : float, optional
        Width of the target's Gaussians; a fifth of `spacing_px` when not given.
    """
    kind = str(rng.choice(KINDS)) if kind is None else kind
    vectors, basis, intensity = _cell(kind, second_intensity, rng)
    vectors = vectors * spacing_px / nearest_distance(vectors, basis)
    angle = rng.uniform(-np.pi, np.pi) if angle_rad is None else angle_rad
    columns = _fill(vectors, basis, intensity, angle, shape)
    if rng.random() < 0.2 * faults:
        other = _fill(vectors, basis, intensity, rng.uniform(-np.pi, np.pi), shape)
        columns = _join_grains(columns, other, shape, spacing_px, rng)
    positions, amplitude = _disturb(columns, shape, spacing_px, faults, rng)

    uneven = 1 + 0.08 * faults * rng.normal(size=len(positions))
    sigma_px = spacing_px * rng.uniform(0.14, 0.34) * uneven
    clean = render_columns(shape, positions, amplitude, sigma_px)
    clean += _background(shape, spacing_px, faults, rng)
    peak = 10 ** rng.uniform(0, 3) if peak_counts is None else peak_counts
    counts = rng.poisson(np.maximum(_jitter_rows(clean, faults, rng), 0) * peak)
    image = (counts * rng.uniform(0.2, 5) + rng.uniform(-100, 1000)).astype(np.float32)
    positions = positions[((positions >= -0.5) & (positions < np.array(shape) - 0.5)).all(axis=1)]
    target = column_target(shape, positions, target_sigma_px or 0.2 * spacing_px)
    return LatticeImage(image, positions, target, spacing_px, kind)


def render_columns(shape, positions, amplitude, sigma_px) -> np.ndarray:
    """Sum of round Gaussians (H, W), each cut off at 4 sigma in rows and in columns."""
    sigma = np.broadcast_to(sigma_px, len(positions))[:, None]
    steps = [(np.arange(n) - at[:, None]) / sigma for n, at in zip(shape, positions.T, strict=True)]
    rows, cols = (np.exp(-(step**2) / 2) * (np.abs(step) < 4) for step in steps)  # (N, H), (N, W)
    return (rows.T * amplitude) @ cols


def column_target(shape, positions, sigma_px: float) -> np.ndarray:
    """Membership of each pixel (H, W): a Gaussian of height 1 on each column, the larger wins."""
    nearest = KDTree(positions).query(np.moveaxis(np.indices(shape), 0, -1))[0]
    return np.exp(-((nearest / sigma_px) ** 2) / 2).astype(np.float32)


def nearest_distance(vectors: np.ndarray, basis: np.ndarray) -> float:
    """Shortest distance between two columns of the endless lattice, in the unit of `vectors`."""
    return float(neighbour_distance(_sites(vectors, basis, 2)).min())


def _sites(vectors, basis, reach: int) -> np.ndarray:
    """Columns (N, 2) of the cells up to `reach` away from the origin's, cell by cell."""
    cells = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), -1).reshape(-1, 1, 2)
    return ((cells + basis) @ vectors).reshape(-1, 2)


def _cell(kind: str, second_intensity: float | None, rng: np.random.Generator):
    """Cell vectors (2, 2), one a row; sites (n, 2) in fractions of them; intensities (n,)."""
    weak = rng.uniform(0.25, 0.95) if second_intensity is None else second_intensity
    if kind == "ruddlesden_popper":
        vectors, strong_sites, weak_sites = _ruddlesden_popper(rng)
    elif kind == "dumbbells":
        vectors = SQUARE if rng.random() < 0.5 else HEXAGONAL
        pair = _direction(rng) * rng.uniform(0.3, 0.45)
        strong_sites, weak_sites = [[0, 0]], [pair @ np.linalg.inv(vectors)]
        weak = rng.uniform(0.5, 1)
    elif kind == "oblique":
        tilt, ratio = rng.uniform(np.pi / 3, np.pi / 2), rng.uniform(1, 1.6)
        vectors = np.array([[1, 0], [ratio * np.cos(tilt), ratio * np.sin(tilt)]])
        strong_sites, weak_sites = [[0, 0]], []
    elif kind in CELLS:
        vectors, strong_sites, weak_sites = CELLS[kind]
    else:
        raise ValueError(f"kind={kind!r} is not a lattice known here; use one of {KINDS}")
    if kind == "honeycomb":
        weak = min(weak, 0.85)  # with equal sites it would be an hcp metal along [0001]
    if kind != "ruddlesden_popper":
        vectors = vectors @ (np.eye(2) + 0.02 * rng.normal(size=(2, 2)))  # strained a little
    intensity = np.repeat([1.0, weak], [len(strong_sites), len(weak_sites)])
    return vectors, np.array([*strong_sites, *weak_sites], float), intensity


def _ruddlesden_popper(rng: np.random.Generator):
    """[100] zone: n perovskite layers between AO planes, then a gap and a step of half a cell."""
    planes = np.arange(2 * rng.integers(1, 4) + 1)
    heights = 0.5 * rng.uniform(0.92, 1.05) * planes
    half = heights[-1] + rng.uniform(0.6, 0.75)
    lower = np.column_stack([planes % 2 / 2, heights / (2 * half)])
    upper = (lower + 0.5) % 1
    return np.diag([1, 2 * half]), [*lower[::2], *upper[::2]], [*lower[1::2], *upper[1::2]]


def _direction(rng: np.random.Generator) -> np.ndarray:
    turn = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(turn), np.sin(turn)])


def _fill(vectors, basis, intensity, angle, shape) -> np.ndarray:
    """[row, column, amplitude] (N, 3) of all columns on the image and two cells around it."""
    cell = vectors @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    centre = (np.array(shape) - 1) / 2
    corners = np.array([[1, 1], [1, -1]]) * (centre + 1)
    reach = int(np.abs(corners @ np.linalg.inv(cell)).max()) + 3
    offset = _sites(cell, basis, reach)
    near = (np.abs(offset) < centre + 2 * np.linalg.norm(cell, axis=1).min()).all(axis=1)
    return np.column_stack([offset + centre, np.resize(intensity, len(offset))])[near]


def _join_grains(first, second, shape, spacing_px, rng) -> np.ndarray:
    """Two grains meeting at a straight boundary, at which no two columns come closer than 0.7."""
    normal, through = _direction(rng), rng.uniform(0.3, 0.7, 2) * shape
    first = first[(first[:, :2] - through) @ normal > 0.35 * spacing_px]
    second = second[(second[:, :2] - through) @ normal < -0.35 * spacing_px]
    return np.concatenate([first, second])


def _disturb(columns, shape, spacing_px, faults, rng) -> tuple[np.ndarray, np.ndarray]:
    """Displacements, uneven columns, a thickness ramp, vacancies, dopants and vacuum.

    Takes [row, column, amplitude] (N, 3) and returns positions and amplitudes apart.
    """
    count = len(columns)
    moved = 0.04 * spacing_px * faults * rng.random() * rng.normal(size=(count, 2))
    positions = columns[:, :2] + moved
    centred = (positions - np.array(shape) / 2) / np.max(shape)
    ramp = 1 + faults * centred @ rng.uniform(-0.5, 0.5, 2)
    uneven = np.exp(0.12 * faults * rng.random() * rng.normal(size=count))
    dopant = np.where(rng.random(count) < 0.01 * faults, rng.uniform(0.4, 1.8), 1)
    amplitude = columns[:, 2] * np.clip(ramp, 0.35, None) * uneven * dopant
    keep = rng.random(count) >= 0.04 * faults * rng.random()
    keep &= rng.random() >= 0.04 * faults  # else nothing but background
    if rng.random() < 0.25 * faults:  # an edge of the specimen, straight or round
        inward, offset = centred @ _direction(rng), rng.uniform(-0.5, 0.5)
        keep &= inward + rng.choice([0, -1, 1]) * (centred**2).sum(axis=1) > offset
    return positions[keep], amplitude[keep]


def _background(shape, spacing_px, faults, rng) -> np.ndarray:
    """Even level, slow ramp, contamination and an amorphous film; the strongest peak is 1."""
    rows, cols = np.ogrid[-0.5 : 0.5 : shape[0] * 1j, -0.5 : 0.5 : shape[1] * 1j]
    level = 10 ** rng.uniform(-1.5, 0.3)
    slope = rng.uniform(-0.8, 0.8, 2) * faults
    background = level * (1 + slope[0] * rows + slope[1] * cols)
    blobs = rng.integers(0, 4) if rng.random() < 0.4 * faults else 0
    for _ in range(blobs):
        centre, width = rng.uniform(0, 1, (1, 2)) * shape, spacing_px * rng.uniform(0.8, 5)
        background += render_columns(shape, centre, rng.uniform(0.1, 1), width)
    if rng.random() < 0.3 * faults:
        grain, contrast = spacing_px * rng.uniform(0.15, 0.8), rng.uniform(0, 0.15)
        film = ndimage.gaussian_filter(rng.normal(size=shape), grain, mode="wrap")
        background += contrast * film / film.std()
    return background


def _jitter_rows(image, faults, rng) -> np.ndarray:
    """Shift each row sideways by a little noise, as an unsteady scan does."""
    shift = faults * rng.uniform(0, 0.4) * (rng.random() < 0.5) * rng.normal(size=(len(image), 1))
    rows, cols = np.indices(image.shape)
    return ndimage.map_coordinates(image, [rows, cols + shift], order=1, mode="nearest")
