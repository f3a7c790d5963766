"""The lattice of a training image: a cell known here, or one whose shape is drawn as well."""

from __future__ import annotations

import numpy as np

from .drawing import Drawing
from .lattices import CELLS, HEXAGONAL, SQUARE, crystal, nearest_distance

MOST_SITES = 5  # of a cell of any shape
NEAREST_SITES = 0.45  # of the side of such a cell


def draw_lattice(rng, shape, spacing_px: float, species: bool) -> Drawing:
    """A perfect lattice on an image of this shape; with `species`, its light columns are faint."""
    known = [kind for kind in CELLS if kind not in DRAWN]
    kind = str(rng.choice([*known, *DRAWN, "any", "any"]))
    if species:
        weak = rng.uniform(0.3, 0.82)
    else:
        weak = rng.uniform(0.25, 0.97)
    vectors, basis, light = _cell(kind, rng)
    if kind == "honeycomb":
        weak = min(weak, 0.85)  # with equal sites it would be an hcp metal along [0001]
    if kind == "dumbbells":
        weak = max(weak, 0.5)
    if kind != "ruddlesden_popper":  # strained a little
        strain = 0.02 * rng.normal(size=(2, 2))
        vectors = vectors @ (np.eye(2) + strain)
    vectors = vectors * spacing_px / nearest_distance(vectors, basis)
    height = np.where(light, weak, 1.0)
    sites = np.column_stack([basis, height, light])

    def another_grain():
        angle_rad = rng.uniform(-np.pi, np.pi)
        return crystal(vectors, sites, angle_rad, shape)

    return Drawing(rng, shape, spacing_px, another_grain(), another_grain)


def _cell(kind: str, rng):
    """Cell vectors (2, 2), one a row; sites (n, 2) in fractions of them; which are light (n,)."""
    if kind == "any":
        return _any_cell(rng)
    if kind in DRAWN:
        draw = DRAWN[kind]
        vectors, strong, weak = draw(rng)
    else:
        vectors, strong, weak = CELLS[kind]
    basis = np.array([*strong, *weak], float)
    light = np.repeat([False, True], [len(strong), len(weak)])
    return vectors, basis, light


def _ruddlesden_popper(rng):
    """[100] zone: n perovskite layers between AO planes, then a gap and a step of half a cell."""
    n_layers = rng.integers(1, 4)
    planes = np.arange(2 * n_layers + 1)
    heights = 0.5 * rng.uniform(0.92, 1.05) * planes
    half_cell = heights[-1] + rng.uniform(0.6, 0.75)
    vectors = np.diag([1, 2 * half_cell])
    lower = np.column_stack([planes % 2 / 2, heights / (2 * half_cell)])
    upper = (lower + 0.5) % 1
    strong = [*lower[::2], *upper[::2]]
    weak = [*lower[1::2], *upper[1::2]]
    return vectors, strong, weak


def _dumbbells(rng):
    """Two columns near to one another, in any direction, at each site of a simple net."""
    vectors = HEXAGONAL
    if rng.random() < 0.5:
        vectors = SQUARE
    turn = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(turn), np.sin(turn)])
    pair = direction * rng.uniform(0.3, 0.45)
    strong = [[0, 0]]
    weak = [pair @ np.linalg.inv(vectors)]
    return vectors, strong, weak


def _oblique(rng):
    vectors = _oblique_vectors(rng, 1.6)
    strong = [[0, 0]]
    weak = []
    return vectors, strong, weak


def _oblique_vectors(rng, longest: float) -> np.ndarray:
    """One side of length 1, the other up to `longest`, 60 to 90 degrees apart."""
    tilt = rng.uniform(np.pi / 3, np.pi / 2)
    ratio = rng.uniform(1, longest)
    return np.array([[1, 0], [ratio * np.cos(tilt), ratio * np.sin(tilt)]])


def _any_cell(rng):
    """A cell of any shape with one to five sites, none nearer to another than 0.45 of its side."""
    vectors = _oblique_vectors(rng, 1.8)
    basis = np.zeros((1, 2))
    n_tries = rng.integers(0, 12)
    for _ in range(n_tries):
        site = rng.random((1, 2))
        more = np.concatenate([basis, site])
        if len(more) <= MOST_SITES and nearest_distance(vectors, more) > NEAREST_SITES:
            basis = more
    light = rng.random(len(basis)) < 0.5
    if light.all():  # there is no light column without a heavy one
        light[:] = False
    return vectors, basis, light


# The cells whose shape is drawn as well.
DRAWN = {
    "ruddlesden_popper": _ruddlesden_popper,
    "dumbbells": _dumbbells,
    "oblique": _oblique,
}
