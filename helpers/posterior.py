"""The turn of a sub-image as a probability over the whole circle: a short Fourier series."""

from __future__ import annotations

import numpy as np
import torch

from .harmonics import DiskHarmonics

GRID_PER_ORDER = 8  # grid points in one period of the finest wave: no maximum is overlooked
N_MODES = 8  # maxima of a posterior that are followed: alternatives the data leave open
NARROW = 0.7  # steps of the grid: a maximum narrower than this is integrated as a Gaussian
NEARLY_BEST = 0.5  # of the highest overlap of two motifs: what counts as another way to align them
FAR_BELOW = -1e30  # log probability of a maximum that is not there


def wrap(angle: torch.Tensor) -> torch.Tensor:
    """Radians into (-pi, pi]."""
    return torch.pi - torch.remainder(torch.pi - angle, 2 * torch.pi)


class AngleSeries:
    """The overlap of data and turned motif, a Fourier series in the angle.

    <c, R_theta g> = S_0 + sum_m A_m cos(m theta) + B_m sin(m theta), kept as (B, 2m + 1).

    Parameters
    ----------
    basis : DiskHarmonics
    device : str
    degree : int
        Length of the series, in units of the highest angular order of the basis.
    """

    def __init__(self, basis: DiskHarmonics, device: str = "cpu", degree: int = 1):
        orders = np.arange(1, degree * basis.order.max() + 1)
        shares = basis.pair_order[:, None] == orders
        self.split = basis.split
        self.shares = torch.as_tensor(shares, dtype=torch.float32, device=device)  # (P, m)
        self.orders = torch.as_tensor(orders, dtype=torch.float32, device=device)
        count = GRID_PER_ORDER * max(16, len(orders))
        self.step = 2 * torch.pi / count
        self.grid = torch.arange(count, device=device) * self.step - torch.pi
        phase = self.orders[:, None] * self.grid
        self.waves = torch.cat([torch.ones_like(phase[:1]), phase.cos(), phase.sin()])  # (2m+1, A)

    # ------------------------------------------------------ data and motifs

    def of(self, c: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """The series (B, 2m + 1) of data c and motifs g, (B, K) each."""
        c0, c_cos, c_sin = self.split(c)
        g0, g_cos, g_sin = self.split(g)
        constant = (c0 * g0).sum(-1, keepdim=True)
        cosine = (c_cos * g_cos + c_sin * g_sin) @ self.shares
        sine = (c_sin * g_cos - c_cos * g_sin) @ self.shares
        return torch.cat([constant, cosine, sine], dim=-1)

    def log_posterior(
        self, c: torch.Tensor, g: torch.Tensor, log_sigma: torch.Tensor, log_shift=None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """log p(c|g, theta) as a series over theta (B, 2m + 1), and the rest of it (B,)."""
        variance = (2 * log_sigma).exp()
        norms = ((c**2).sum(-1) + (g**2).sum(-1)) / (2 * variance)
        return self.of(c, g) / variance, -norms - c.shape[-1] * log_sigma

    def fitted(self, c, g, angle, log_sigma, log_shift=None) -> tuple[torch.Tensor, torch.Tensor]:
        """The motifs as found in the data (B, K), and their shift (B, 2) [row, column]."""
        return self.rotate(g, angle), c.new_zeros(len(c), 2)

    def centred(self, c, g, angle, log_sigma, log_shift=None) -> torch.Tensor:
        """Data (B, K) without what a shift of the motifs g explains."""
        return c

    def rotate(self, c: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """Each motif (B, K) turned by its angle (B,), as `DiskHarmonics.rotate` does."""
        still, cosine, sine = self.split(c)
        phase = angle[:, None] * self.orders
        cos, sin = phase.cos() @ self.shares.T, phase.sin() @ self.shares.T  # (B, P)
        return torch.cat([still, cosine * cos - sine * sin, cosine * sin + sine * cos], dim=-1)

    def slope(self, g: torch.Tensor) -> torch.Tensor:
        """How motifs (B, K) change as they turn, a radian's worth, (B, K)."""
        still, cosine, sine = self.split(g)
        m = self.shares @ self.orders
        return torch.cat([torch.zeros_like(still), -sine * m, cosine * m], dim=-1)

    # ------------------------------------------------ a series over the circle

    def log_mean(self, series: torch.Tensor) -> torch.Tensor:
        """log of the mean of exp(series) over the circle, (B,).

        A sum over a grid is exact as long as no maximum is narrower than a step; one that is
        narrower is as good as Gaussian. Each series takes the way that suits its highest maximum.
        """
        on_grid = series @ self.waves
        height, _, bend = self._modes(series, on_grid.detach())
        narrow = bend[:, 0] * (NARROW * self.step) ** 2 > 1  # (B,)
        gaussian = torch.logsumexp(height - bend.log() / 2, -1) - np.log(2 * np.pi) / 2
        if narrow.all():
            return gaussian
        return torch.where(narrow, gaussian, torch.logsumexp(on_grid, -1) - np.log(len(self.grid)))

    def modes(self, series: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Maxima of a log posterior: angle, probability and standard deviation, (B, N) each."""
        height, angle, bend = self._modes(series, series @ self.waves)
        probability = torch.softmax(height - bend.log() / 2, -1)
        return wrap(angle), probability, bend.rsqrt()

    def _modes(self, series: torch.Tensor, on_grid: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Height, angle and curvature of the N highest maxima, (B, N)."""
        top = (on_grid >= on_grid.roll(1, -1)) & (on_grid > on_grid.roll(-1, -1))
        best, index = torch.where(top, on_grid, -torch.inf).topk(N_MODES, dim=-1)
        with torch.no_grad():
            angle = self._refine(series, self.grid[index])
        height, _, bend = self.at(series, angle)
        bend = bend.clamp_min(0.01 / self.step**2)  # a shoulder is no wide maximum
        return torch.where(best.isfinite(), height, FAR_BELOW), angle, bend

    def at(self, series: torch.Tensor, angle: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Value, slope and downward curvature of series (B, 2m + 1) at angles (B, N)."""
        cosine, sine = series[:, None, 1:].chunk(2, dim=-1)
        phase = angle[..., None] * self.orders
        cos, sin = phase.cos(), phase.sin()
        even = cosine * cos + sine * sin
        slope = (sine * cos - cosine * sin) @ self.orders
        return series[:, :1] + even.sum(-1), slope, even @ self.orders**2

    def _refine(self, series: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """Newton's method from angles (B, N) of the grid to the maxima beside them."""
        for _ in range(3):
            _, slope, bend = self.at(series, angle)
            step = torch.where(bend > 0, slope / bend.clamp_min(1e-12), 0.0)
            angle = angle + step.clamp(-self.step, self.step)
        return angle

    def best_angle(self, series: torch.Tensor) -> torch.Tensor:
        """The angle (B,) at the top of each series: the best of the grid, refined."""
        return self._refine(series, self.grid[(series @ self.waves).argmax(-1)][:, None])[:, 0]

    def nearest_angle(self, series: torch.Tensor) -> torch.Tensor:
        """Of the tops of each series that are nearly the highest, the one nearest to zero (B,).

        A motif of nearly fourfold symmetry has four tops of nearly one height. Which of them is
        the highest changes from motif to motif; which is nearest to zero does not.
        """
        height = series @ self.waves - series[:, :1]
        top = (height >= height.roll(1, -1)) & (height >= height.roll(-1, -1))
        top &= height >= NEARLY_BEST * height.amax(-1, keepdim=True)
        distance = torch.where(top, self.grid.abs(), torch.inf)
        return self._refine(series, self.grid[distance.argmin(-1)][:, None])[:, 0]

    def turn(self, series: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """The series (B, 2m + 1) of motifs turned by -angle: its top moves by +angle."""
        cosine, sine = series[:, 1:].chunk(2, dim=-1)
        c, s = (self.orders * angle[:, None]).cos(), (self.orders * angle[:, None]).sin()
        return torch.cat([series[:, :1], cosine * c - sine * s, cosine * s + sine * c], dim=-1)


class ShiftedSeries(AngleSeries):
    """The same for motifs that may lie a little off the centre of their window.

    To first order a shift adds a times the slope of the motif. With a normal prior on both
    components of a, they are integrated by hand; what remains is again a Fourier series in the
    angle, of twice the degree.
    """

    def __init__(self, basis: DiskHarmonics, device: str = "cpu"):
        super().__init__(basis, device, degree=2)
        self.slopes = torch.as_tensor(basis.shift_slopes(), device=device)  # (2, K, K)
        weights = torch.full_like(self.waves[:, :1], 2 / len(self.grid))
        weights[0] /= 2
        self.to_series = (weights * self.waves).T  # (A, 4m+1), exact up to twice the degree

    def log_posterior(self, c, g, log_sigma, log_shift):
        series, rest = super().log_posterior(c, g, log_sigma)
        pull, spread, log_det = self._pull(c, g, log_sigma, log_shift)
        on_grid = torch.stack([p @ self.waves for p in pull], dim=-1)  # (B, A, 2)
        gain = ((on_grid @ spread) * on_grid).sum(-1) / 2
        return series + gain @ self.to_series, rest - log_det / 2

    def fitted(self, c, g, angle, log_sigma, log_shift):
        pull, spread, _ = self._pull(c, g, log_sigma, log_shift)
        here = torch.stack([self.at(p, angle[:, None])[0][:, 0] for p in pull], dim=-1)
        row, col = shift = (here[:, None] @ spread)[:, 0].T
        moved = g + sum(
            a[:, None] * (g @ slope) for a, slope in zip(shift, self.slopes, strict=True)
        )
        cos, sin = angle.cos(), angle.sin()  # from the axes of the motif to those of the image
        return self.rotate(moved, angle), torch.stack(
            [cos * row - sin * col, sin * row + cos * col], -1
        )

    def centred(self, c, g, angle, log_sigma, log_shift):
        moved, _ = self.fitted(c, g, angle, log_sigma, log_shift)
        return c - (moved - self.rotate(g, angle))

    def _pull(self, c, g, log_sigma, log_shift):
        """Series of the pull along rows and columns, covariance of the shift, its log share."""
        variance = (2 * log_sigma).exp()
        along = [g @ slope for slope in self.slopes]
        pull = []
        for slope in along:
            p = self.of(c, slope)
            pull.append(torch.cat([p[:, :1] - (g * slope).sum(-1, keepdim=True), p[:, 1:]], -1))
        slopes = torch.stack(along, dim=1)  # (B, 2, K)
        prior = torch.eye(2, device=c.device) * (-2 * log_shift).exp()
        precision = prior + slopes @ slopes.transpose(1, 2) / variance
        log_det = torch.logdet(precision) + 4 * log_shift
        return [p / variance for p in pull], torch.linalg.inv(precision), log_det
