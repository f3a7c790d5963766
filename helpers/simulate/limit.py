"""The limit that counting sets to the position of a column, whatever finds it."""

import numpy as np

from ..columns.gaussian_fit import AMPLITUDE, curvature, derivatives
from ..images import as_positive


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
    columns = np.array([[place, place, *shape] for place in (-0.375, -0.125, 0.125, 0.375)])
    slopes = derivatives(columns, np.zeros((4, 2)), int(np.ceil(6 * sigma_px)))
    counts = background + amplitude * slopes[:, AMPLITUDE]  # of each pixel: also their variance
    variances = np.linalg.inv(curvature(slopes, 1 / counts))[:, 0, 0]
    return float(np.sqrt(variances.mean()))
