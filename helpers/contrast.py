"""What lets a model that was trained on one image read another: offset, gain and pixel size."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from .harmonics import DiskHarmonics

PIXEL_SIZE_TOLERANCE = 0.03


@dataclass(frozen=True)
class Contrast:
    """Brightness and contrast of a stack, in the units of its pixels.

    Attributes
    ----------
    offset : float
        Median over the sub-images of their mean brightness.
    gain : float
        Median over the sub-images of the rms of their coefficients, the mean brightness left out.
    """

    offset: float
    gain: float

    @classmethod
    def of(cls, coefficients: np.ndarray, basis: DiskHarmonics) -> Contrast:
        """Estimate both from coefficients (M, K); ValueError if there is no contrast at all."""
        # An image that is 1 everywhere has the norm as its first coefficient, and no other.
        offset = float(np.median(coefficients[:, 0]) / basis.norms[0])
        gain = float(np.sqrt(np.median((coefficients[:, 1:] ** 2).mean(axis=1))))
        if not gain > 1e-6 * max(abs(offset), 1e-30):
            raise ValueError(f"the sub-images are constant ({offset:g}): no motif; check the image")
        return cls(offset, gain)

    def remove(self, coefficients: np.ndarray, basis: DiskHarmonics) -> np.ndarray:
        """Coefficients (M, K) float32 with the offset at zero and the gain at one."""
        shifted = coefficients.astype(np.float32)
        shifted[:, 0] -= self.offset * basis.norms[0]
        return shifted / np.float32(self.gain)


def warn_of_other_pixel_size(trained_nm: float | None, given_nm: float | None) -> None:
    """Warn when an image is sampled otherwise than the one that a model was trained on."""
    if trained_nm and given_nm and abs(given_nm / trained_nm - 1) > PIXEL_SIZE_TOLERANCE:
        warnings.warn(
            f"the model was trained at {trained_nm:g} nm a pixel, this stack has {given_nm:g} nm "
            f"({given_nm / trained_nm - 1:+.0%}): resample the image to the model's size",
            stacklevel=3,
        )
