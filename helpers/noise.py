"""How noisy sub-images are, and how much of that noise pixels share.

A scan moves whole lines, drifts, and is resampled: the errors of neighbouring pixels go together.
Treating them as independent would make every error bar too small. The residuals tell by how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .harmonics import DiskHarmonics, disk_mask

N_STRIPS = 5  # wide against the memory of the scan, narrow enough to be many
WELL_FITTED = 1.5  # times the median misfit: what lies beyond is another motif, not noise


@dataclass(frozen=True)
class Noise:
    """Of a stack of sub-images, in the units of their normalised coefficients.

    Attributes
    ----------
    sigma : float
        Standard deviation.
    overdispersion : float
        Factor, at least 1, by which variances are larger than if all pixels erred alone.
    """

    sigma: float
    overdispersion: float

    @property
    def effective_sigma(self) -> float:
        """The standard deviation of independent noise that would do as much harm."""
        return self.sigma * self.overdispersion**0.5

    @classmethod
    def of(
        cls, residual: np.ndarray, slope: np.ndarray, nuisance: np.ndarray, basis: DiskHarmonics
    ) -> Noise:
        """Measure the noise on what a model leaves unexplained.

        At the best angle the residual r and the change s of the motif with the angle have
        <r, s> = 0. Cut into strips of scan lines, the parts of that sum are not zero: their scatter
        is that of the angle's score, whatever the noise looks like (a sandwich estimate, clustered
        by strips, as in White, Econometrica 48 (1980) 817). Its ratio to what independent noise
        would give is the overdispersion.

        Parameters
        ----------
        residual : (M, K)
            Coefficients of the data less those of the fitted, turned motif.
        slope : (M, K)
            Change of the turned motif with its angle, per radian.
        nuisance : (M, N, K)
            Changes that are no noise (a shift of the window, another gain): taken out.
        """
        misfit = np.mean(residual**2, axis=1)
        good = misfit <= WELL_FITTED * np.median(misfit)
        residual, slope, nuisance = residual[good], slope[good], nuisance[good]
        slope = _without(slope[:, None], nuisance)
        fitted = np.concatenate(
            [nuisance, slope], axis=1
        )  # what the fit has taken out of the noise
        parts = (slope[:, 0] @ basis.functions) * _strips(basis)[:, None]  # (strips, M, D)
        parts = np.stack([part @ basis.functions.T for part in parts], axis=1)
        parts = _without(parts, fitted)  # (M, strips, K)
        score = (parts @ residual[:, :, None])[..., 0]
        variance = np.median(misfit)
        overdispersion = (score**2).sum() / (variance * (parts**2).sum())
        return cls(float(np.sqrt(variance)), float(max(1.0, overdispersion)))


@torch.no_grad()
def measure_noise(motifs, basis: DiskHarmonics, c: torch.Tensor, of_class: torch.Tensor) -> Noise:
    """Noise of normalised coefficients (M, K) of classes (M, n) about trained `motifs`.

    A shift of the window and another gain are no noise.
    """
    g, series = motifs.draw(motifs.propose(c, of_class)[0], of_class), motifs.series
    turned = series.rotate(g, series.best_angle(series.of(c, g)))
    shifts = [turned @ torch.as_tensor(s, device=c.device) for s in basis.shift_slopes()]
    changes = (c - turned, series.slope(turned), torch.stack([turned, *shifts], dim=1))
    return Noise.of(*(v.cpu().numpy() for v in changes), basis)


def _without(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Vectors (M, V, K) less their projections on others (M, N, K)."""
    basis = np.linalg.qr(np.swapaxes(others, 1, 2))[0]  # (M, K, N)
    return vectors - (vectors @ basis) @ np.swapaxes(basis, 1, 2)


def _strips(basis: DiskHarmonics) -> np.ndarray:
    """Which pixels of the disk lie in each strip of scan lines, (strips, D), zeros and ones."""
    rows = np.nonzero(disk_mask(basis.window_px))[0]
    index = rows * N_STRIPS // basis.window_px
    return np.eye(N_STRIPS, dtype=np.float32)[:, index]
