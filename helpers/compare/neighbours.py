"""What the neighbours say without any learning: columns off their centre, and waves of that.

To lay beside what the rVAE says of the same columns.
"""

import numpy as np
from scipy.spatial import cKDTree

from ..columns.spacing import wave_vectors
from ..images import as_positions, as_positive, as_whole, values_of

OPEN_SIDE = 1.25  # a farthest neighbour beyond this many median distances: one side is empty
AT_ONCE = 2_000_000  # columns times waves: a few tens of MB
FINENESS = 8  # steps of the search in one resolvable difference of wave vectors


def off_centre(
    positions,
    around,
    *,
    count: int = 4,
) -> np.ndarray:
    """Displacement of each column from the centre of its neighbours on another sublattice.

    Parameters
    ----------
    positions : (N, 2) array or Columns
        The columns that are off centre, [row, column] in pixels.
    around : (K, 2) array or Columns
        The sublattice that they are measured against.
    count : int
        How many nearest neighbours make the centre: 4 for the A site of a perovskite in [100].

    Returns
    -------
    (N, 2) array
        [row, column] in pixels; NaN at the border of the lattice, where a neighbour is missing.

    Raises
    ------
    ValueError
        If `around` has fewer columns than `count`, or `count` is less than 2.
    """
    positions = as_positions(positions)
    around = as_positions(around)
    count = as_whole("count", count, 2, len(around))
    tree = cKDTree(around)
    distance, nearest = tree.query(positions, k=count)
    centre = around[nearest].mean(axis=1)
    displacement = positions - centre
    displacement[_has_open_side(distance)] = np.nan
    return displacement


def _has_open_side(distance: np.ndarray) -> np.ndarray:
    """Mask (N,) of columns that lack a neighbour, by the distances (N, count) of the nearest."""
    farthest = distance[:, -1]
    usual = np.median(distance)
    return farthest > OPEN_SIDE * usual


def strongest_wave(
    positions,
    values: np.ndarray,
    *,
    shortest_px: float,
) -> tuple[np.ndarray, float]:
    """The one plane wave that carries most of how values vary over the columns.

    A Fourier sum over the columns themselves, so that no raster has to be made; the mean is taken
    away first. Only waves with several periods in the field are measured well.

    Parameters
    ----------
    positions : (N, 2) array or Columns
    values : (N,) or (N, d) array
        Numbers or vectors of the columns. Columns with a missing value (NaN) are left out.
    shortest_px : float
        Shortest period looked for. Twice the spacing of the columns is safe: waves much shorter
        look like longer ones on a lattice.

    Returns
    -------
    wave : (2,) array
        [row, column] wave vector in cycles per pixel, pointing up in the image (row negative).
    share : float
        Share of the variance that a plane wave of this vector carries, between 0 and 1.

    Raises
    ------
    ValueError
        If fewer than 3 columns have values, the values are constant, or `shortest_px` is not
        positive.
    """
    places = as_positions(positions)
    places, values = _without_missing(places, values)
    shortest_px = as_positive("shortest_px", shortest_px)
    if len(values) < 3 or not np.ptp(values, axis=0).any():
        raise ValueError(f"{len(values)} columns have values, or they are the same at all: no wave")
    values = values - values.mean(axis=0)
    field_px = np.ptp(places, axis=0).max()
    highest = 1 / shortest_px
    step = 1 / (FINENESS * field_px)
    waves = wave_vectors(0, highest, step)
    places = places - places.mean(axis=0)
    parts = 1 + len(waves) * len(places) // AT_ONCE
    power = []
    for some in np.array_split(waves, parts):
        power.append(_power(places, values, some))
    power = np.concatenate(power)
    strongest = power.argmax()
    total = len(values) * np.sum(values**2)
    share = 2 * power[strongest] / total
    return waves[strongest], float(min(1.0, share))


def _without_missing(
    places: np.ndarray,
    values: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The places and values (N, d) of the columns that have both."""
    values = values_of(values, float)
    values = values.reshape(len(places), -1)
    has_value = np.isfinite(values).all(axis=1)
    has_place = np.isfinite(places).all(axis=1)
    good = has_value & has_place
    return places[good], values[good]


def _power(
    places: np.ndarray,
    values: np.ndarray,
    waves: np.ndarray,
) -> np.ndarray:
    """Power (W,) of values (N, d) at places (N, 2) in each of the waves (W, 2)."""
    planes = np.exp(-2j * np.pi * places @ waves.T)
    sums = values.T @ planes  # (d, W)
    return np.sum(np.abs(sums) ** 2, axis=0)


def handedness(
    positions,
    displacement: np.ndarray,
    *,
    count: int = 4,
) -> np.ndarray:
    """On which hand of a column, seen along its displacement, its fellows lie.

    Where rows move two by two, a row has the fellow that moves alike on one side only: on the left
    for one row of a pair, on the right for the other. A mirror exchanges the two, no turn does.

    Parameters
    ----------
    positions : (N, 2) array or Columns
    displacement : (N, 2) array
        [row, column], as from `off_centre`.
    count : int
        Nearest neighbours compared.

    Returns
    -------
    (N,) array
        Between -1 and 1; positive for the left, as displayed; NaN where the column or one of its
        neighbours has no displacement, or a neighbour is missing.
    """
    positions = as_positions(positions)
    displacement = values_of(displacement, float)
    if displacement.shape != positions.shape or len(positions) <= count:
        message = (
            f"{len(positions)} positions and displacements of shape {displacement.shape}: "
            f"one [row, column] each, more than count={count}, are needed"
        )
        raise ValueError(message)
    tree = cKDTree(positions)
    distance, nearest = tree.query(
        positions,
        k=range(2, count + 2),  # itself apart
    )
    row, col = displacement.T
    length = np.hypot(row, col)
    ahead = displacement / length[:, None]
    products = ahead[nearest] * ahead[:, None]
    alike = np.sum(products, axis=-1, keepdims=True)  # (N, count, 1)
    bonds = positions[nearest] - positions[:, None]
    fellows = np.sum(alike * bonds, axis=1)
    fellows[_has_open_side(distance)] = np.nan
    left = ahead[:, 0] * fellows[:, 1] - ahead[:, 1] * fellows[:, 0]  # rows run down
    return left / distance.sum(axis=1)
