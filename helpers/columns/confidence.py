"""From the probability map of the network to the confidence that there is a column."""

import numpy as np
from scipy import special

from .peaks import values_at

COLUMNS = "segmenter.safetensors"  # the weights that the numbers below are calibrated for
CONFIDENCE = (0.502, 1.191, -0.062)  # polynomial in the logit of the map; calibrate_confidence.py


def confidence_at(probability: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Confidence (N,) in each of the peaks (N, 2) of a probability map (H, W)."""
    of_map = np.clip(values_at(probability, peaks), 1e-3, 0.999)
    polynomial = np.polynomial.Polynomial(CONFIDENCE)
    logit = special.logit(of_map)
    return special.expit(polynomial(logit))
