"""Which simulated columns are judged, how wrong an angle is, and what is ordered in space."""

import numpy as np
from scipy.spatial import cKDTree

from helpers.images import as_positions
from helpers.results.angles import align_gauge, fold_angles
from helpers.simulate.truth import Truth

PIXEL_SIZE_NM = 0.02
FROM_BOUNDARY_NM = 1.0  # nearer to another grain, a window shows both


def scored(truth: Truth) -> np.ndarray:
    """Mask of the columns that are judged."""
    far = truth.boundary_px * PIXEL_SIZE_NM > FROM_BOUNDARY_NM
    return far & ~truth.in_fault & ~truth.odd


def angle_errors(angle: np.ndarray, truth: Truth) -> np.ndarray:
    """Angle minus truth minus one constant a site, (M,) radians in (-pi, pi].

    NaN where the sign is 0: such a site has no direction of its own. The constant is a circular
    mean modulo 180 degrees, chosen among its two values so that most errors are small.
    """
    error = np.full(len(angle), np.nan)
    for kind in np.unique(truth.site[truth.sign != 0]):
        rows = (truth.site == kind) & (truth.sign != 0)
        true = truth.angle_rad[rows] + np.pi * (truth.sign[rows] < 0)
        off = fold_angles(align_gauge(angle[rows], true, order=2) - true, 1)
        error[rows] = fold_angles(off + np.pi * (np.median(np.abs(off)) > np.pi / 2), 1)
    return error


def error_shares(error: np.ndarray) -> tuple[float, float, float]:
    """Median error modulo 90 degrees, in degrees, and the shares of 90 and of 180 degree errors."""
    folded = fold_angles(align_gauge(error, 0.0, order=4), 4)
    wrong_axis = np.abs(fold_angles(error, 2)) > np.pi / 4
    wrong_way = np.abs(error) > np.pi / 2
    return np.degrees(np.median(np.abs(folded))), wrong_axis.mean(), wrong_way.mean()


def spatial_order(positions, values: np.ndarray, *, count: int = 6) -> tuple[float, float]:
    """Whether neighbouring columns have like values: Moran's I, and how sure that is.

    Parameters
    ----------
    positions : (N, 2) array or Columns
    values : (N,) array
    count : int
        Nearest neighbours compared.

    Returns
    -------
    moran : float
        1 for values that are the same among neighbours, near 0 for values dealt out at random.
    deviations : float
        Distance from the mean of 200 random permutations, in their standard deviations: within
        3 there is no sign of a pattern.
    """
    positions, values = as_positions(positions), np.asarray(values, dtype=float)
    if values.shape != positions.shape[:1] or len(values) <= count or not np.ptp(values) > 0:
        raise ValueError(
            f"{len(positions)} positions and values of shape {values.shape}: one number each, more "
            f"than count={count} of them and not all equal, are needed"
        )
    nearest = cKDTree(positions).query(positions, k=count + 1)[1][:, 1:]
    values = (values - values.mean()) / values.std()
    moran = np.mean(values[:, None] * values[nearest])
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(values) for _ in range(200)]
    chance = [np.mean(v[:, None] * v[nearest]) for v in shuffled]
    return float(moran), float((moran - np.mean(chance)) / np.std(chance))
