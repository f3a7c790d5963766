"""Which simulated columns are judged, and how wrong an angle is."""

import numpy as np

from helpers.angles import align_gauge, fold_angles
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
