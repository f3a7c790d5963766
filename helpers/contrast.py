"""Offset and gain: what lets a model trained on one image read another of another dose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .harmonics import DiskHarmonics, disk_mask


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
        offset = float(np.median(coefficients[:, 0])) / brightness_unit(basis)
        gain = float(np.sqrt(np.median((coefficients[:, 1:] ** 2).mean(axis=1))))
        if not gain > 1e-6 * max(abs(offset), 1e-30):
            raise ValueError(
                f"the sub-images are constant ({offset:g}): there is no motif to learn; check the "
                "image"
            )
        return cls(offset, gain)

    def remove(self, coefficients: np.ndarray, basis: DiskHarmonics) -> np.ndarray:
        """Coefficients (M, K) float32 with the offset at zero and the gain at one."""
        shifted = coefficients.astype(np.float32)
        shifted[:, 0] -= self.offset * brightness_unit(basis)
        return shifted / np.float32(self.gain)


def brightness_unit(basis: DiskHarmonics) -> float:
    """First coefficient of an image that is 1 everywhere; all others are zero."""
    return float(np.sqrt(disk_mask(basis.window_px).sum()))
