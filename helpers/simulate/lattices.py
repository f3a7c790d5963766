"""Images of many lattices as sums of Gaussians, with the truth: what the segmenter learns from.

Nothing here is a simulation of scattering. Each column is one Gaussian peak; what varies is
everything that a network must not depend on: lattice, spacing, orientation, peak width, intensity,
background, faults, scan jitter, dose, gain and offset.

Kept out on purpose, so that tests can ask whether the segmenter transfers: Ruddlesden-Popper
phases along [110], GaAs-like dumbbells along [110], kagome lattices, and hcp metals along [0001]
(the honeycombs below always have two unlike sites).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = (
    "square",
    "perovskite",
    "ruddlesden_popper",
    "hexagonal",
    "honeycomb",
    "rock_salt",
    "dumbbells",
    "oblique",
)


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
    shape: tuple[int, int] = (128, 128),
    *,
    rng: np.random.Generator,
    kind: str | None = None,
    spacing_px: float = 10.0,
    angle_rad: float | None = None,
    peak_counts: float | None = None,
    second_intensity: float | None = None,
    faults: float = 1.0,
    target_sigma_px: float | None = None,
) -> LatticeImage:
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
    scale = spacing_px / nearest_distance(vectors, basis)
    angle = rng.uniform(-np.pi, np.pi) if angle_rad is None else angle_rad
    positions, amplitude = _fill(vectors * scale, basis, intensity, angle, shape)
    if rng.random() < 0.2 * faults:
        other = _fill(vectors * scale, basis, intensity, rng.uniform(-np.pi, np.pi), shape)
        positions, amplitude = _join_grains(positions, amplitude, *other, shape, spacing_px, rng)
    positions, amplitude = _disturb(positions, amplitude, shape, spacing_px, faults, rng)

    uneven = 1 + 0.08 * faults * rng.normal(size=len(positions))
    sigma = spacing_px * rng.uniform(0.14, 0.34) * uneven
    clean = render_columns(shape, positions, amplitude, sigma)
    clean += _background(shape, spacing_px, faults, rng)
    peak = 10 ** rng.uniform(0, 3) if peak_counts is None else peak_counts
    counts = rng.poisson(np.maximum(_jitter_rows(clean, faults, rng), 0) * peak)
    image = counts * rng.uniform(0.2, 5) + rng.uniform(-100, 1000)
    inside = ((positions >= -0.5) & (positions < np.array(shape) - 0.5)).all(axis=1)
    positions = positions[inside]
    target = column_target(shape, positions, target_sigma_px or 0.2 * spacing_px)
    return LatticeImage(image.astype(np.float32), positions, target, spacing_px, kind)


def render_columns(shape, positions, amplitude, sigma_px) -> np.ndarray:
    """Sum of round Gaussians (H, W); each is evaluated on a patch of its own, out to 4 sigma."""
    if len(positions) == 0:
        return np.zeros(shape)
    reach = int(np.ceil(4 * np.max(sigma_px)))
    offset = np.arange(-reach, reach + 1)
    corner = np.rint(positions).astype(int)
    rows, cols = (corner[:, k, None] + offset for k in (0, 1))  # (N, P)
    width = 2 * np.broadcast_to(sigma_px, len(positions))[:, None] ** 2
    along_rows = np.exp(-((rows - positions[:, :1]) ** 2) / width) * np.asarray(amplitude)[:, None]
    along_cols = np.exp(-((cols - positions[:, 1:]) ** 2) / width)
    # Pixels off the image are added to a frame around it that is cut away at the end.
    height, length = shape[0] + 2, shape[1] + 2
    rows, cols = np.clip(rows + 1, 0, height - 1), np.clip(cols + 1, 0, length - 1)
    flat = (rows[:, :, None] * length + cols[:, None, :]).ravel()
    patches = (along_rows[:, :, None] * along_cols[:, None, :]).ravel()
    return np.bincount(flat, patches, height * length).reshape(height, length)[1:-1, 1:-1]


def column_target(shape, positions, sigma_px: float) -> np.ndarray:
    """Membership of each pixel (H, W): a Gaussian of height 1 on each column, the larger wins."""
    target = np.zeros(shape, np.float32)
    reach = int(np.ceil(4 * sigma_px))
    for row, col in positions:
        r = np.arange(max(0, int(row) - reach), min(shape[0], int(row) + reach + 2))
        c = np.arange(max(0, int(col) - reach), min(shape[1], int(col) + reach + 2))
        if len(r) and len(c):
            square = (r[:, None] - row) ** 2 + (c - col) ** 2
            patch = target[r[0] : r[-1] + 1, c[0] : c[-1] + 1]
            np.maximum(patch, np.exp(-square / (2 * sigma_px**2)), out=patch)
    return target


def nearest_distance(vectors: np.ndarray, basis: np.ndarray) -> float:
    """Shortest distance between two columns of the endless lattice, in the unit of `vectors`."""
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 2), -1).reshape(-1, 1, 1, 2)
    apart = (basis[:, None] - basis[None] + steps) @ vectors
    lengths = np.linalg.norm(apart, axis=-1)
    return float(lengths[lengths > 1e-6].min())


def _cell(kind: str, second_intensity: float | None, rng: np.random.Generator):
    """Cell vectors (2, 2), one a row; sites (n, 2) in fractions of them; intensities (n,)."""
    drawn = rng.uniform(0.25, 0.95)
    weak = drawn if second_intensity is None else second_intensity
    square, hexagonal = np.eye(2), np.array([[1, 0], [0.5, np.sqrt(0.75)]])
    if kind == "ruddlesden_popper":
        return _ruddlesden_popper(int(rng.integers(1, 4)), weak, rng)
    cells = {
        "square": (square, [[0, 0]], [1]),
        "perovskite": (square, [[0, 0], [0.5, 0.5]], [1, weak]),
        "hexagonal": (hexagonal, [[0, 0]], [1]),
        "honeycomb": (hexagonal, [[1 / 3, 1 / 3], [2 / 3, 2 / 3]], [1, min(weak, 0.85)]),
        # [110] zone: rows of unlike ions, a checkerboard on a rectangular net
        "rock_salt": (
            np.diag([np.sqrt(2), 1]),
            [[0, 0], [0.5, 0.5], [0.5, 0], [0, 0.5]],
            [1, 1, weak, weak],
        ),
    }
    if kind in cells:
        vectors, basis, intensity = cells[kind]
    elif kind == "dumbbells":
        vectors = square if rng.random() < 0.5 else hexagonal
        turn = rng.uniform(0, np.pi)
        pair = rng.uniform(0.3, 0.45) * np.array([np.cos(turn), np.sin(turn)])
        basis, intensity = [[0, 0], pair @ np.linalg.inv(vectors)], [1, rng.uniform(0.5, 1)]
    elif kind == "oblique":
        tilt, ratio = rng.uniform(np.pi / 3, np.pi / 2), rng.uniform(1, 1.6)
        vectors = np.array([[1, 0], [ratio * np.cos(tilt), ratio * np.sin(tilt)]])
        basis, intensity = [[0, 0]], [1]
    else:
        raise ValueError(f"kind={kind!r} is not a lattice known here; use one of {KINDS}")
    strain = np.eye(2) + 0.02 * rng.normal(size=(2, 2))
    return vectors @ strain, np.array(basis, float), np.array(intensity, float)


def _ruddlesden_popper(layers: int, weak: float, rng: np.random.Generator):
    """[100] zone: n perovskite layers between AO planes, then a gap and a step of half a cell."""
    plane, gap = 0.5 * rng.uniform(0.92, 1.05), rng.uniform(0.6, 0.75)
    heights = plane * np.arange(2 * layers + 1)
    half = heights[-1] + gap
    is_b = np.arange(2 * layers + 1) % 2
    along = np.concatenate([is_b, is_b + 1]) / 2 % 1
    up = np.concatenate([heights, heights + half]) / (2 * half)
    sites = np.column_stack([along, up])
    return np.diag([1, 2 * half]), sites, np.tile(np.where(is_b, weak, 1.0), 2)


def _fill(vectors, basis, intensity, angle, shape) -> tuple[np.ndarray, np.ndarray]:
    """All columns on the image and one frame of two cells around it: positions, amplitudes."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    cell = vectors @ turn
    centre = (np.array(shape) - 1) / 2
    corners = np.array([[1, 1], [1, -1]]) * (centre + 1)
    reach = int(np.abs(corners @ np.linalg.inv(cell)).max()) + 3
    index = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), -1).reshape(-1, 1, 2)
    positions = ((index + basis) @ cell).reshape(-1, 2) + centre
    amplitude = np.tile(intensity, len(index))
    margin = 2 * np.linalg.norm(cell, axis=1).min()
    near = ((positions > -margin) & (positions < np.array(shape) - 1 + margin)).all(axis=1)
    return positions[near], amplitude[near]


def _join_grains(positions, amplitude, positions_2, amplitude_2, shape, spacing_px, rng):
    """Two grains meeting at a straight boundary, at which no two columns come closer than 0.7."""
    turn = rng.uniform(0, 2 * np.pi)
    normal = np.array([np.cos(turn), np.sin(turn)])
    through = rng.uniform(0.3, 0.7, 2) * shape
    first = (positions - through) @ normal > 0.35 * spacing_px
    second = (positions_2 - through) @ normal < -0.35 * spacing_px
    return (
        np.concatenate([positions[first], positions_2[second]]),
        np.concatenate([amplitude[first], amplitude_2[second]]),
    )


def _disturb(positions, amplitude, shape, spacing_px, faults, rng):
    """Displacements, uneven columns, a thickness ramp, vacancies, dopants and vacuum."""
    count = len(positions)
    positions = positions + 0.04 * spacing_px * faults * rng.random() * rng.normal(size=(count, 2))
    centred = (positions - np.array(shape) / 2) / np.max(shape)
    ramp = 1 + faults * centred @ rng.uniform(-0.5, 0.5, 2)
    uneven = np.exp(0.12 * faults * rng.random() * rng.normal(size=count))
    dopant = np.where(rng.random(count) < 0.01 * faults, rng.uniform(0.4, 1.8), 1)
    amplitude = amplitude * np.clip(ramp, 0.35, None) * uneven * dopant
    keep = rng.random(count) >= 0.04 * faults * rng.random()
    if rng.random() < 0.04 * faults:  # nothing but background
        keep[:] = False
    if rng.random() < 0.25 * faults:  # an edge of the specimen, straight or round
        turn, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
        inward = centred @ np.array([np.cos(turn), np.sin(turn)])
        keep &= inward + rng.choice([0, -1, 1]) * (centred**2).sum(axis=1) > offset
    return positions[keep], amplitude[keep]


def _background(shape, spacing_px, faults, rng) -> np.ndarray:
    """Even level, slow ramp and blobs of contamination, in units of the strongest peak."""
    rows, cols = np.ogrid[-0.5 : 0.5 : shape[0] * 1j, -0.5 : 0.5 : shape[1] * 1j]
    level = 10 ** rng.uniform(-1.5, 0.3)
    slope = rng.uniform(-0.8, 0.8, 2) * faults * level
    background = level + slope[0] * rows + slope[1] * cols
    blobs = int(rng.integers(0, 4)) if rng.random() < 0.4 * faults else 0
    for _ in range(blobs):
        centre = rng.uniform(0, 1, (1, 2)) * shape
        width = spacing_px * rng.uniform(0.8, 5)
        background = background + render_columns(shape, centre, [rng.uniform(0.1, 1)], width)
    if rng.random() < 0.3 * faults:
        grain = spacing_px * rng.uniform(0.15, 0.8)
        background = background + rng.uniform(0, 0.15) * _texture(shape, grain, rng)
    return background


def _texture(shape, grain_px: float, rng) -> np.ndarray:
    """Gaussian noise of unit variance, correlated over `grain_px`: an amorphous film."""
    k = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    low_pass = np.exp(-2 * (np.pi * grain_px * k) ** 2)
    texture = np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) * low_pass, shape)
    return texture / texture.std()


def _jitter_rows(image, faults, rng) -> np.ndarray:
    """Shift each row sideways by a little noise, as an unsteady scan does."""
    shift = faults * rng.uniform(0, 0.4) * (rng.random() < 0.5) * rng.normal(size=(len(image), 1))
    whole = np.floor(shift).astype(int)
    part = shift - whole
    columns = np.arange(image.shape[1]) + whole
    left, right = (np.clip(columns + k, 0, image.shape[1] - 1) for k in (0, 1))
    rows = np.arange(len(image))[:, None]
    return (1 - part) * image[rows, left] + part * image[rows, right]
