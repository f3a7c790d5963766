"""The images that the segmenter learns from: lattices and all that may befall them, with the truth.

Nothing here is a simulation of scattering. Each column is one Gaussian peak; what varies is
everything that a network must not depend on. An image is made in the order of nature: a lattice,
its faults, the shape of the specimen, the ground that it lies on, the lens, the scan, the counts.

Kept out on purpose, so that tests can ask whether the segmenter transfers: Ruddlesden-Popper
phases along [110], GaAs-like dumbbells along [110], kagome lattices, and hcp metals along [0001]
(the honeycombs below always have two unlike sites).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal

from ..columns.unet import TRAINED_SPACING_PX, network_input, resample
from .lattices import (
    CELLS,
    HEXAGONAL,
    SQUARE,
    column_target,
    crystal,
    nearest_distance,
    render_columns,
)

DRAWN = ("ruddlesden_popper", "dumbbells", "oblique")  # cells whose shape is drawn as well
CROP_PX = 128
RADIUS_PX = 0.25 * TRAINED_SPACING_PX  # of a column in the target
FINEST, COARSEST = 1.6, 0.65  # pixels of an image for each pixel of the network


@dataclass
class Drawing:
    """An image in the making: lengths in its own pixels, heights in units of the tallest peak.

    `columns` is (N, 4): row, column, amplitude, and whether it is of the light sublattice;
    `another_grain` makes the columns of the same crystal in another direction.
    """

    rng: np.random.Generator
    shape: tuple[int, int]
    spacing_px: float
    columns: np.ndarray
    another_grain: Callable[[], np.ndarray]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def centred(self, positions: np.ndarray) -> np.ndarray:
        """Positions from -1/2 to 1/2 across the image."""
        return positions / np.array(self.shape) - 0.5

    def direction(self) -> np.ndarray:
        angle = self.rng.uniform(-np.pi, np.pi)
        return np.array([np.sin(angle), np.cos(angle)])


def training_image(rng: np.random.Generator, **options):
    """One crop at the network's scale; parameters are those of `draw_image`.

    Returns
    -------
    image : (2, CROP_PX, CROP_PX) float32
        What the network sees: the normalised image, and what is periodic in it.
    target : (CROP_PX, CROP_PX) float32
        Share of each pixel that lies within RADIUS_PX of a column.
    columns : (N, 4)
        Row, column, amplitude and whether light, of the columns in and just around the crop.
    """
    image, columns, _ = draw_image(rng, **options)
    zoom = CROP_PX / len(image)
    columns[:, :2] = (columns[:, :2] + 0.5) * zoom - 0.5
    near = (np.abs(columns[:, :2] - CROP_PX / 2) < CROP_PX / 2 + 4).all(axis=1)
    target = column_target((CROP_PX, CROP_PX), columns[near, :2], RADIUS_PX)
    return network_input(resample(image, (CROP_PX, CROP_PX))), target, columns[near]


def draw_image(rng: np.random.Generator, *, peak_counts=None, species: bool = False):
    """One image as a microscope would give it.

    The spacing that a user's image is rescaled by is measured, and the measurement may pick the
    distance of another pair of columns: so the network meets spacings from 0.6 to 1.8 of the
    nominal one.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance.
    peak_counts : float, optional
        Mean counts at the tallest peak; drawn from 1 to 1000 when not given.
    species : bool
        Draw lattices whose light columns can be told from the heavy ones.

    Returns
    -------
    image : (H, W) float32
    columns : (N, 4)
        Row, column, amplitude and whether light, of the columns in the image and around it.
    spacing_px : float
        Distance between nearest columns of the lattice.
    """
    finer = FINEST ** rng.uniform(-1, 1) if rng.random() < 0.8 else COARSEST
    side = round(CROP_PX * max(finer, COARSEST))
    nominal_px = TRAINED_SPACING_PX * side / CROP_PX
    ratio = np.clip(np.exp(0.22 * rng.normal()), 0.6, 1.8)
    drawing = _lattice(rng, (side, side), ratio * nominal_px, species)
    for change in (_grains, _displacements, _heights, _vacancies, _outline):
        change(drawing)
    clean = _ground(drawing, _lens(drawing, _peaks(drawing)))
    image = _record(drawing, _scan(drawing, clean), peak_counts)
    return image, drawing.columns.copy(), drawing.spacing_px


def _lattice(rng, shape, spacing_px, species) -> Drawing:
    kinds = [k for k in CELLS if k not in DRAWN] + [*DRAWN, "any", "any"]
    kind = str(rng.choice(kinds))
    weak = rng.uniform(0.3, 0.82) if species else rng.uniform(0.25, 0.97)
    vectors, basis, light = _cell(kind, rng)
    if kind == "honeycomb":
        weak = min(weak, 0.85)  # with equal sites it would be an hcp metal along [0001]
    if kind == "dumbbells":
        weak = max(weak, 0.5)
    if kind != "ruddlesden_popper":
        vectors = vectors @ (np.eye(2) + 0.02 * rng.normal(size=(2, 2)))  # strained a little
    vectors = vectors * spacing_px / nearest_distance(vectors, basis)
    height = np.where(light, weak, 1.0)
    sites = np.column_stack([basis, height, light])

    def grain():
        return crystal(vectors, sites, rng.uniform(-np.pi, np.pi), shape)

    return Drawing(rng, shape, spacing_px, grain(), grain)


def _cell(kind: str, rng):
    """Cell vectors (2, 2), one a row; sites (n, 2) in fractions of them; which are light (n,)."""
    if kind == "any":
        return _any_cell(rng)
    if kind == "ruddlesden_popper":
        vectors, strong, weak = _ruddlesden_popper(rng)
    elif kind == "dumbbells":
        vectors, turn = SQUARE if rng.random() < 0.5 else HEXAGONAL, rng.uniform(0, 2 * np.pi)
        pair = np.array([np.cos(turn), np.sin(turn)]) * rng.uniform(0.3, 0.45)
        strong, weak = [[0, 0]], [pair @ np.linalg.inv(vectors)]
    elif kind == "oblique":
        tilt, ratio = rng.uniform(np.pi / 3, np.pi / 2), rng.uniform(1, 1.6)
        vectors = np.array([[1, 0], [ratio * np.cos(tilt), ratio * np.sin(tilt)]])
        strong, weak = [[0, 0]], []
    else:
        vectors, strong, weak = CELLS[kind]
    light = np.repeat([False, True], [len(strong), len(weak)])
    return vectors, np.array([*strong, *weak], float), light


def _ruddlesden_popper(rng):
    """[100] zone: n perovskite layers between AO planes, then a gap and a step of half a cell."""
    planes = np.arange(2 * rng.integers(1, 4) + 1)
    heights = 0.5 * rng.uniform(0.92, 1.05) * planes
    half = heights[-1] + rng.uniform(0.6, 0.75)
    lower = np.column_stack([planes % 2 / 2, heights / (2 * half)])
    upper = (lower + 0.5) % 1
    return np.diag([1, 2 * half]), [*lower[::2], *upper[::2]], [*lower[1::2], *upper[1::2]]


def _any_cell(rng):
    """A cell of any shape with one to five sites, none nearer to another than 0.45 of its side."""
    tilt, ratio = rng.uniform(np.pi / 3, np.pi / 2), rng.uniform(1, 1.8)
    vectors = np.array([[1, 0], [ratio * np.cos(tilt), ratio * np.sin(tilt)]])
    basis = np.zeros((1, 2))
    for _ in range(rng.integers(0, 12)):
        more = np.concatenate([basis, rng.random((1, 2))])
        if len(more) <= 5 and nearest_distance(vectors, more) > 0.45:
            basis = more
    light = rng.random(len(basis)) < 0.5
    return vectors, basis, light & (not light.all())


def _grains(drawing: Drawing) -> None:
    """Two or three grains that meet where the distances from their seeds are equal."""
    if not drawing.chance(0.25):
        return
    rng, spacing = drawing.rng, drawing.spacing_px
    seeds = rng.uniform(0, 1, (rng.integers(2, 4), 2)) * drawing.shape
    parts = []
    for number, seed in enumerate(seeds):
        part = drawing.columns if number == 0 else drawing.another_grain()
        own = np.linalg.norm(part[:, :2] - seed, axis=1)
        rest = np.delete(seeds, number, axis=0)
        others = np.linalg.norm(part[:, None, :2] - rest, axis=2).min(axis=1)
        parts.append(part[others - own > rng.uniform(0.3, 0.6) * spacing])
    drawing.columns = np.concatenate(parts)


def _displacements(drawing: Drawing) -> None:
    """Columns off their places: each by itself, one sublattice, and slowly over the field."""
    rng, columns, spacing = drawing.rng, drawing.columns, drawing.spacing_px
    moved = 0.05 * spacing * rng.random() * rng.normal(size=(len(columns), 2))
    if drawing.chance(0.2):  # a ferroelectric, or a small tilt off the zone axis
        shift = rng.uniform(0, 0.12) * spacing * drawing.direction()
        moved += columns[:, 3:] * shift
    if drawing.chance(0.3):  # bent, and sheared by drift
        place = drawing.centred(columns[:, :2])
        moved += place @ rng.uniform(-0.03, 0.03, (2, 2)) * drawing.shape
        phase = 2 * np.pi * (place @ drawing.direction() * rng.uniform(0.5, 2) + rng.random())
        moved += 0.25 * spacing * rng.random() * np.sin(phase)[:, None] * drawing.direction()
    columns[:, :2] += moved


def _heights(drawing: Drawing) -> None:
    """Uneven columns, dopants, a wedge and steps of thickness."""
    rng, columns = drawing.rng, drawing.columns
    place = drawing.centred(columns[:, :2])
    height = np.exp(0.12 * rng.random() * rng.normal(size=len(columns)))
    if drawing.chance(0.35):
        dopant = rng.random(len(columns)) < rng.uniform(0, 0.04)
        height *= np.where(dopant, np.exp(rng.uniform(-1, 1.7, len(columns))), 1)
    height *= np.clip(1 + place @ rng.uniform(-0.8, 0.8, 2), 0.25, None)
    for _ in range(rng.integers(0, 3) if drawing.chance(0.25) else 0):
        beyond = place @ drawing.direction() > rng.uniform(-0.5, 0.5)
        height *= np.where(beyond, rng.uniform(0.4, 1), 1)
    columns[:, 2] *= height


def _vacancies(drawing: Drawing) -> None:
    rate = drawing.rng.uniform(0, 0.08) * drawing.chance(0.5)
    drawing.columns = drawing.columns[drawing.rng.random(len(drawing.columns)) >= rate]


def _outline(drawing: Drawing) -> None:
    """Where the specimen ends: an edge, a particle, a hole, a patch; or there is none at all."""
    rng = drawing.rng
    place = drawing.centred(drawing.columns[:, :2])
    keep = np.full(len(place), not drawing.chance(0.05))
    shape = rng.random()
    if shape < 0.1:  # an edge, straight or round
        curve = rng.choice([0, -1, 1]) * (place**2).sum(axis=1)
        keep &= place @ drawing.direction() + curve > rng.uniform(-0.5, 0.5)
    elif shape < 0.2:  # a faceted particle
        middle, size = rng.uniform(-0.3, 0.3, 2), rng.uniform(0.15, 0.6)
        for _ in range(rng.integers(3, 8)):
            keep &= (place - middle) @ drawing.direction() < size * rng.uniform(0.7, 1)
    elif shape < 0.27:  # a hole
        middle = rng.uniform(-0.5, 0.5, 2)
        keep &= np.linalg.norm(place - middle, axis=1) > rng.uniform(0.05, 0.35)
    drawing.columns = drawing.columns[keep]


def _peaks(drawing: Drawing) -> np.ndarray:
    rng, columns = drawing.rng, drawing.columns
    sigma = drawing.spacing_px * rng.uniform(0.14, 0.34)
    sigma = sigma * (1 + 0.06 * rng.normal(size=len(columns)))
    sigma = sigma * np.where(columns[:, 3] > 0, rng.uniform(0.85, 1.1), 1)
    return render_columns(drawing.shape, columns[:, :2], columns[:, 2], np.maximum(sigma, 0.3))


def _lens(drawing: Drawing, image: np.ndarray) -> np.ndarray:
    """Tails of the probe, astigmatism or a small tilt, a halo of defocus."""
    rng, spacing = drawing.rng, drawing.spacing_px
    if drawing.chance(0.4):
        share = rng.uniform(0, 0.5)
        wide = ndimage.gaussian_filter(image, rng.uniform(0.5, 1.2) * spacing)
        image = (1 - share) * image + share * wide
    if drawing.chance(0.3):  # a short line along one direction
        length, step = rng.uniform(0, 0.4) * spacing, drawing.direction()
        offsets = np.linspace(-0.5, 0.5, 5)[:, None] * length * step
        image = np.mean([ndimage.shift(image, o, order=1, mode="nearest") for o in offsets], axis=0)
    if drawing.chance(0.15):
        ring = image - ndimage.gaussian_filter(image, 0.25 * spacing)
        image = image + rng.uniform(0, 0.8) * ring
    return image


def _ground(drawing: Drawing, image: np.ndarray) -> np.ndarray:
    """Even level, slow ramp, contamination, an amorphous film, texture of all sizes."""
    rng, shape, spacing = drawing.rng, drawing.shape, drawing.spacing_px
    rows, cols = np.ogrid[-0.5 : 0.5 : shape[0] * 1j, -0.5 : 0.5 : shape[1] * 1j]
    slope = rng.uniform(-0.8, 0.8, 2)
    image = image + 10 ** rng.uniform(-1.5, 0.45) * (1 + slope[0] * rows + slope[1] * cols)
    for _ in range(rng.integers(1, 5) if drawing.chance(0.3) else 0):
        centre, width = rng.uniform(0, 1, (1, 2)) * shape, spacing * rng.uniform(0.6, 5)
        image += render_columns(shape, centre, rng.uniform(0.1, 2), width)
    if drawing.chance(0.35):
        grain, contrast = spacing * np.exp(rng.uniform(-2, 0.5)), rng.uniform(0, 0.25)
        image += contrast * _unit(ndimage.gaussian_filter(rng.normal(size=shape), grain))
    if drawing.chance(0.15):
        image += rng.uniform(0, 0.8) * _fractal(shape, rng)
    if drawing.chance(0.1):  # a support's rim, or a step
        edge = rows * (d := drawing.direction())[0] + cols * d[1] - rng.uniform(-0.4, 0.4)
        image += rng.uniform(-0.7, 1.5) / (1 + np.exp(-edge * shape[0] / rng.uniform(0.5, 8)))
    return image


def _fractal(shape, rng) -> np.ndarray:
    """Noise with the power spectrum of photographs."""
    k = np.hypot(*np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij"))
    k[0, 0] = np.inf
    noise = np.fft.fft2(rng.normal(size=shape)) / k ** rng.uniform(0.7, 1.6)
    return _unit(np.fft.ifft2(noise).real)


def _unit(values: np.ndarray) -> np.ndarray:
    return values / values.std()


def _scan(drawing: Drawing, image: np.ndarray) -> np.ndarray:
    """Line jitter with a memory, a fly-back that drags, streaks from line to line."""
    rng, n_rows = drawing.rng, drawing.shape[0]
    if drawing.chance(0.5):
        memory, size = rng.uniform(0, 0.9), rng.uniform(0, 0.07) * drawing.spacing_px
        noise = rng.normal(size=n_rows) * size * np.sqrt(1 - memory**2)
        shift = signal.lfilter([1.0], [1.0, -memory], noise)[:, None]
        rows, cols = np.indices(image.shape)
        image = ndimage.map_coordinates(image, [rows, cols + shift], order=1, mode="nearest")
    if drawing.chance(0.15):
        image = image * (1 + rng.uniform(0, 0.1) * rng.normal(size=(n_rows, 1)))
    return image


def _record(drawing: Drawing, image: np.ndarray, peak_counts: float | None) -> np.ndarray:
    """Counts, read-out noise, a filter, saturation and few levels; gain and offset."""
    rng = drawing.rng
    if peak_counts is None:
        exponent = rng.uniform(0.1, 1.7) if drawing.chance(0.6) else rng.uniform(0, 3)
        peak_counts = 10**exponent
    image = rng.poisson(np.maximum(image, 0) * peak_counts).astype(np.float32)
    if drawing.chance(0.2):
        image += rng.uniform(0, 0.3) * image.std() * rng.normal(size=image.shape)
    if drawing.chance(0.2):  # smoothed, or resampled as aligned frames are
        image = ndimage.gaussian_filter(image, rng.uniform(0.4, 1.2))
    if drawing.chance(0.08):
        image = np.minimum(image, np.percentile(image, rng.uniform(90, 99.9)))
    if drawing.chance(0.1):
        low, high = image.min(), max(image.max(), image.min() + 1)
        image = np.rint((image - low) / (high - low) * rng.integers(15, 256))
    return (image * rng.uniform(0.2, 5) + rng.uniform(-100, 1000)).astype(np.float32)
