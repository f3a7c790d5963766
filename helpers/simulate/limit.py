"""The limit that counting sets to the position of a column, whatever finds it."""

import math

import numpy as np

from ..columns.gaussian_fit import AMPLITUDE, curvature, derivatives
from ..images import as_positive

PLACES_PX = (-0.375, -0.125, 0.125, 0.375)  # of the column from the middle of a pixel
WITHIN_SIGMA = 6  # the pixels that count


def cramer_rao_px(amplitude: float, sigma_px: float, background: float) -> float:
    """Smallest possible standard deviation of a column's position along one axis, in pixels.

    No unbiased method can do better on Poisson counts. The column stands alone; row, column,
    amplitude, sigma and background are free. Averaged over the place within a pixel.

    Parameters
    ----------
    amplitude, background : float
        In counts.
    sigma_px : float

    Raises
    ------
    ValueError
        If one of them is not positive.
    """
    given = {"amplitude": amplitude, "sigma_px": sigma_px, "background": background}
    shape = [as_positive(name, value) for name, value in given.items()]
    columns = np.array([[place, place, *shape] for place in PLACES_PX])
    centres = np.zeros((len(PLACES_PX), 2))
    reach_px = math.ceil(WITHIN_SIGMA * sigma_px)
    slopes = derivatives(columns, centres, reach_px)
    counts = background + amplitude * slopes[:, AMPLITUDE]  # of each pixel: also their variance
    information = curvature(slopes, 1 / counts)
    covariance = np.linalg.inv(information)
    variance_px2 = covariance[:, 0, 0].mean()
    return float(np.sqrt(variance_px2))
