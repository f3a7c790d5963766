"""The turn of a sub-image as a probability over the whole circle, and what is reported of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from .harmonics import DiskHarmonics

N_ANGLES = 360  # finer than the posterior is wide; the best one is refined by Newton's method
N_FINE = 3600  # for error bars: averaged frames know an angle to 0.1 degrees
NEARLY_BEST = 0.9  # of the highest overlap of two motifs: what counts as another way to align them


def wrap(angle: torch.Tensor) -> torch.Tensor:
    """Radians into (-pi, pi]."""
    return torch.pi - torch.remainder(torch.pi - angle, 2 * torch.pi)


class AngleSeries:
    """The overlap of data and turned motif, a Fourier series in the angle.

    <c, R_theta g> = S_0 + sum_m A_m cos(m theta) + B_m sin(m theta), kept as (B, 2m + 1).
    """

    def __init__(self, basis: DiskHarmonics, device: str = "cpu"):
        orders = np.arange(1, basis.order.max() + 1)
        shares = basis.pair_order[:, None] == orders
        self.split = basis.split
        self.shares = torch.as_tensor(shares, dtype=torch.float32, device=device)  # (P, m)
        self.orders = torch.as_tensor(orders, dtype=torch.float32, device=device)
        self.grid = torch.arange(N_ANGLES, device=device) * (2 * torch.pi / N_ANGLES) - torch.pi
        phase = self.orders[:, None] * self.grid
        self.waves = torch.cat([torch.ones_like(phase[:1]), phase.cos(), phase.sin()])  # (2m+1, A)

    def of(self, c: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """The series (B, 2m + 1) of data c and motifs g, (B, K) each."""
        c0, c_cos, c_sin = self.split(c)
        g0, g_cos, g_sin = self.split(g)
        constant = (c0 * g0).sum(-1, keepdim=True)
        cosine = (c_cos * g_cos + c_sin * g_sin) @ self.shares
        sine = (c_sin * g_cos - c_cos * g_sin) @ self.shares
        return torch.cat([constant, cosine, sine], dim=-1)

    def log_likelihood(
        self, c: torch.Tensor, g: torch.Tensor, log_sigma: torch.Tensor
    ) -> torch.Tensor:
        """log p(c|z) up to a constant, (B,), the angle marginalised over the whole circle."""
        variance = (2 * log_sigma).exp()
        overlap = self.of(c, g) @ self.waves  # (B, A)
        over_angles = torch.logsumexp(overlap / variance, dim=-1) - np.log(N_ANGLES)
        norms = ((c**2).sum(-1) + (g**2).sum(-1)) / (2 * variance)
        return over_angles - norms - c.shape[-1] * log_sigma

    def rotate(self, c: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """Each motif (B, K) turned by its angle (B,), as `DiskHarmonics.rotate` does."""
        still, cosine, sine = self.split(c)
        phase = angle[:, None] * self.orders @ self.shares.T  # (B, P)
        cos, sin = phase.cos(), phase.sin()
        return torch.cat([still, cosine * cos - sine * sin, cosine * sin + sine * cos], dim=-1)

    def best_angle(self, series: torch.Tensor) -> torch.Tensor:
        """The angle (B,) at the top of each series: the best of the grid, refined."""
        return self._refine(series, self.grid[(series @ self.waves).argmax(-1)])

    def nearest_angle(self, series: torch.Tensor) -> torch.Tensor:
        """Of the tops of each series that are nearly the highest, the one nearest to zero (B,).

        A motif of nearly fourfold symmetry has four tops of nearly one height. Which of them is
        the highest changes from motif to motif; which is nearest to zero does not.
        """
        height = series @ self.waves - series[:, :1]
        top = (height >= height.roll(1, -1)) & (height >= height.roll(-1, -1))
        top &= height >= NEARLY_BEST * height.amax(-1, keepdim=True)
        distance = torch.where(top, self.grid.abs(), torch.inf)
        return self._refine(series, self.grid[distance.argmin(-1)])

    def _refine(self, series: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """Newton's method from angles (B,) of the grid to the tops beside them."""
        cosine, sine = series[:, 1:].chunk(2, dim=-1)
        reach = 2 * torch.pi / N_ANGLES
        for _ in range(4):
            phase = self.orders * angle[:, None]
            slope = ((sine * phase.cos() - cosine * phase.sin()) * self.orders).sum(-1)
            bend = ((cosine * phase.cos() + sine * phase.sin()) * self.orders**2).sum(-1)
            step = torch.where(bend > 0, slope / bend.clamp_min(1e-12), 0.0)
            angle = angle + step.clamp(-reach, reach)
        return angle

    def turn(self, series: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """The series (B, 2m + 1) of motifs turned by -angle: its top moves by +angle."""
        cosine, sine = series[:, 1:].chunk(2, dim=-1)
        c, s = (self.orders * angle[:, None]).cos(), (self.orders * angle[:, None]).sin()
        return torch.cat([series[:, :1], cosine * c - sine * s, cosine * s + sine * c], dim=-1)


@dataclass(frozen=True)
class Encoding:
    """What the model says of M sub-images.

    Attributes
    ----------
    angle : (M,) float64
        The most probable turn of each motif, radians in (-pi, pi], counter-clockwise as displayed.
    angle_sd : (M,) float64
        Rms distance from `angle` under the posterior, radians. Where two angles explain the data
        alike it is large, and rightly so; `folded_sd` judges modulo a symmetry.
    latent, latent_sd : (M, d) float64
    residual : (M,) float64
        Rms misfit within the band limit in units of the learned noise: about 1 for a good fit.
    """

    angle: np.ndarray
    angle_sd: np.ndarray
    latent: np.ndarray
    latent_sd: np.ndarray
    residual: np.ndarray
    _series: np.ndarray = field(repr=False)  # (M, 2m + 1), log posterior of the angle

    def __len__(self) -> int:
        return len(self.angle)

    def angle_posterior(self, angles: np.ndarray | None = None, rows=slice(None)) -> np.ndarray:
        """Probability of each of A angles, (M, A), every row summing to 1.

        Parameters
        ----------
        angles : (A,) evenly spaced radians; 360 from -pi by default.
        rows : slice or indices of the sub-images wanted; all by default.
        """
        angles = _angle_grid() if angles is None else np.asarray(angles)
        series = self._series[rows]
        phase = np.arange(1, (series.shape[1] + 1) // 2)[:, None] * angles
        log_p = series[:, 1:] @ np.concatenate([np.cos(phase), np.sin(phase)])
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def folded_sd(self, order: int) -> np.ndarray:
        """Rms distance (M,) from `angle` modulo 2 pi / order, radians."""
        return posterior_sd(self._series, self.angle, order)


def _angle_grid(count: int = N_ANGLES) -> np.ndarray:
    return np.arange(count) * 2 * np.pi / count - np.pi


def posterior_sd(series: np.ndarray, angle: np.ndarray, order: int) -> np.ndarray:
    """Rms distance (M,) of each posterior from its mode modulo 2 pi / order, radians."""
    off, period = _angle_grid(N_FINE), 2 * np.pi / order
    squared = (off - period * np.round(off / period)) ** 2
    m = np.arange(1, (series.shape[1] + 1) // 2)
    waves = np.concatenate([np.cos(m[:, None] * off), -np.sin(m[:, None] * off)])
    sd = np.empty(len(angle))
    for first in range(0, len(angle), 512):
        rows = slice(first, first + 512)
        cosine, sine = np.split(series[rows, 1:], 2, axis=1)
        at_mode = (cosine - 1j * sine) * np.exp(1j * m * angle[rows, None])
        log_p = np.concatenate([at_mode.real, at_mode.imag], axis=1) @ waves
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        sd[rows] = np.sqrt(p @ squared / p.sum(axis=1))
    return sd
