"""What befalls the crystal of a training image: grains, displacements, heights, gaps, edges."""

from __future__ import annotations

import numpy as np

from .drawing import Drawing


def grains(drawing: Drawing) -> None:
    """Two or three grains that meet where the distances from their seeds are equal."""
    if not drawing.chance(0.25):
        return
    rng = drawing.rng
    n_grains = rng.integers(2, 4)
    seeds = rng.uniform(0, 1, (n_grains, 2)) * drawing.shape
    parts = []
    for number, seed in enumerate(seeds):
        part = drawing.columns
        if number > 0:
            part = drawing.another_grain()
        other_seeds = np.delete(seeds, number, axis=0)
        to_own = np.linalg.norm(part[:, :2] - seed, axis=1)
        to_others = np.linalg.norm(part[:, None, :2] - other_seeds, axis=2)
        nearer_px = to_others.min(axis=1) - to_own
        gap_px = rng.uniform(0.3, 0.6) * drawing.spacing_px
        parts.append(part[nearer_px > gap_px])
    drawing.columns = np.concatenate(parts)


def displacements(drawing: Drawing) -> None:
    """Columns off their places: each by itself, one sublattice, and slowly over the field."""
    rng = drawing.rng
    columns = drawing.columns
    spacing = drawing.spacing_px
    spread = 0.05 * spacing * rng.random()
    moved = spread * rng.normal(size=(len(columns), 2))
    if drawing.chance(0.2):  # a ferroelectric, or a small tilt off the zone axis
        length = rng.uniform(0, 0.12) * spacing
        shift = length * drawing.direction()
        moved += columns[:, 3:] * shift
    if drawing.chance(0.3):  # bent, and sheared by drift
        place = drawing.centred(columns[:, :2])
        shear = rng.uniform(-0.03, 0.03, (2, 2))
        moved += place @ shear * drawing.shape
        along = place @ drawing.direction()
        n_waves = rng.uniform(0.5, 2)
        phase = 2 * np.pi * (along * n_waves + rng.random())
        amplitude = 0.25 * spacing * rng.random()
        swing = amplitude * np.sin(phase)
        moved += swing[:, None] * drawing.direction()
    columns[:, :2] += moved


def heights(drawing: Drawing) -> None:
    """Uneven columns, dopants, a wedge and steps of thickness."""
    rng = drawing.rng
    columns = drawing.columns
    number = len(columns)
    place = drawing.centred(columns[:, :2])
    unevenness = 0.12 * rng.random()
    height = np.exp(unevenness * rng.normal(size=number))
    if drawing.chance(0.35):
        drawn = rng.random(number)
        is_dopant = drawn < rng.uniform(0, 0.04)
        log_factor = rng.uniform(-1, 1.7, number)
        factor = np.exp(log_factor)
        height *= np.where(is_dopant, factor, 1)
    slope = rng.uniform(-0.8, 0.8, 2)
    wedge = 1 + place @ slope
    height *= np.clip(wedge, 0.25, None)
    n_steps = drawing.how_often(0.25, 0, 3)
    for _ in range(n_steps):
        along = place @ drawing.direction()
        beyond = along > rng.uniform(-0.5, 0.5)
        factor = rng.uniform(0.4, 1)
        height *= np.where(beyond, factor, 1)
    columns[:, 2] *= height


def vacancies(drawing: Drawing) -> None:
    """Up to 8 % of the columns are missing, in half of the images."""
    highest_rate = drawing.rng.uniform(0, 0.08)
    rate = highest_rate * drawing.chance(0.5)
    drawn = drawing.rng.random(len(drawing.columns))
    drawing.columns = drawing.columns[drawn >= rate]


def outline(drawing: Drawing) -> None:
    """Where the specimen ends: an edge, a particle, a hole, a patch; or there is none at all."""
    place = drawing.centred(drawing.columns[:, :2])
    is_empty = drawing.chance(0.05)
    keep = np.full(len(place), not is_empty)
    shape = drawing.rng.random()
    if shape < 0.1:
        keep &= _within_edge(drawing, place)
    elif shape < 0.2:
        keep &= _within_particle(drawing, place)
    elif shape < 0.27:
        keep &= _outside_hole(drawing, place)
    drawing.columns = drawing.columns[keep]


def _within_edge(drawing: Drawing, place: np.ndarray) -> np.ndarray:
    """Whether each column (N,) is on one side of an edge, straight or round."""
    rng = drawing.rng
    bend = rng.choice([0, -1, 1])
    curve = bend * (place**2).sum(axis=1)
    along = place @ drawing.direction()
    return along + curve > rng.uniform(-0.5, 0.5)


def _within_particle(drawing: Drawing, place: np.ndarray) -> np.ndarray:
    """Whether each column (N,) is in a faceted particle."""
    rng = drawing.rng
    middle = rng.uniform(-0.3, 0.3, 2)
    size = rng.uniform(0.15, 0.6)
    n_facets = rng.integers(3, 8)
    inside = np.full(len(place), True)
    for _ in range(n_facets):
        along = (place - middle) @ drawing.direction()
        facet = size * rng.uniform(0.7, 1)
        inside &= along < facet
    return inside


def _outside_hole(drawing: Drawing, place: np.ndarray) -> np.ndarray:
    """Whether each column (N,) is outside a round hole."""
    middle = drawing.rng.uniform(-0.5, 0.5, 2)
    distance = np.linalg.norm(place - middle, axis=1)
    return distance > drawing.rng.uniform(0.05, 0.35)
