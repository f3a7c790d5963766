"""The turn of a sub-image as a probability over the whole circle: a short Fourier series."""

import numpy as np
import torch

GRID_PER_ORDER = 8  # grid points in one period of the finest wave: no maximum is overlooked
N_MODES = 8  # maxima of a posterior that are followed: alternatives the data leave open
NEAR_ZERO = np.radians(40)  # where the angle of a sub-image that stands upright is looked for
NARROW = 0.7  # steps of the grid: a maximum narrower than this is integrated as a Gaussian
NEARLY_BEST = 0.5  # of the highest overlap of two motifs: what counts as another way to align them
LOWEST_ON_GRID = 0.92  # of its height: a maximum at the point of the grid beside it
NEGLIGIBLE_NATS = 12  # a maximum lower by more adds nothing
NOTHING = -60.0  # of a logarithm: exp of much less gives denormal numbers, which are slow


class AngleSeries(torch.nn.Module):
    """The overlap of data and turned motif, a Fourier series in the angle.

    <c, R_theta g> = S_0 + sum_m A_m cos(m theta) + B_m sin(m theta), kept as (B, 2m + 1).

    Parameters
    ----------
    basis : DiskHarmonics
    degree : int
        Length of the series, in units of the highest angular order of the basis.
    """

    def __init__(self, basis, degree: int = 1):
        super().__init__()
        orders = torch.arange(1, degree * basis.order.max() + 1, dtype=torch.float32)
        count = GRID_PER_ORDER * max(16, len(orders))
        self.split = basis.split
        self.step = 2 * np.pi / count
        grid = torch.arange(count) * self.step - np.pi  # (A,)
        phase = orders[:, None] * grid
        waves = torch.cat([torch.ones(1, count), phase.cos(), phase.sin()])  # (2m + 1, A)
        shares = (torch.as_tensor(basis.pair_order)[:, None] == orders).float()  # (P, m)
        self._hold(orders=orders, shares=shares, grid=grid, waves=waves)

    def _hold(self, **tables: torch.Tensor) -> None:
        """Constants that move with the model to its device, and are not saved with it."""
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    # ------------------------------------------------------ data and motifs

    def of(self, c: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """The series (B, 2m + 1) of data c and motifs g, (B, K) each."""
        c0, c_cos, c_sin = self.split(c)
        g0, g_cos, g_sin = self.split(g)
        constant = (c0 * g0).sum(-1, keepdim=True)
        cosine = (c_cos * g_cos + c_sin * g_sin) @ self.shares
        sine = (c_sin * g_cos - c_cos * g_sin) @ self.shares
        return torch.cat([constant, cosine, sine], dim=-1)

    def log_posterior(self, c, g, log_sigma, log_shift=None) -> tuple[torch.Tensor, torch.Tensor]:
        """log p(c|g, theta) as a series over theta (B, 2m + 1), and the rest of it (B,)."""
        variance = (2 * log_sigma).exp()
        norms = (torch.linalg.vecdot(c, c) + torch.linalg.vecdot(g, g)) / (2 * variance)
        return self.of(c, g) / variance, -norms - c.shape[-1] * log_sigma

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

        Its gradient is the mean of every wave under the posterior (Fisher's identity): nothing on
        the way to the sum has to be differentiated.
        """
        with torch.no_grad():
            value, mean_waves = self._integrate(series)
        return value + (mean_waves * (series - series.detach())).sum(-1)

    def log_mean_near_zero(self, series: torch.Tensor) -> torch.Tensor:
        """The same, from the highest maximum near the angle zero alone, as a Gaussian (B,).

        For a series that is held there by a prior: other maxima do not count.
        """
        with torch.no_grad():
            near = self.grid.abs() <= NEAR_ZERO
            angle = self.grid[near][(series @ self.waves[:, near]).argmax(-1)]
            for _ in range(2):  # Newton's steps
                height, slope, bend = self.at(series, angle)
                bend = bend.clamp_min(0.01 / self.step**2)
                step = (slope / bend).clamp(-self.step / 2, self.step / 2)
                angle = angle + step
            value = height + slope * step / 2 - (bend.log() + np.log(2 * np.pi)) / 2
            phase = angle[:, None] * self.orders
            fading = (-(self.orders**2) / (2 * bend[:, None])).exp()  # mean wave of a Gaussian
            waves = [torch.ones_like(height)[:, None], fading * phase.cos(), fading * phase.sin()]
            mean_waves = torch.cat(waves, dim=-1)
        return value + (mean_waves * (series - series.detach())).sum(-1)

    def _integrate(self, series: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """log of the mean over the circle (B,), and the mean waves (B, 2m + 1).

        A sum over a grid is exact as long as no maximum is narrower than a step; one that is
        narrower is as good as Gaussian. Each series takes the way that suits its highest point.
        """
        on_grid = series @ self.waves
        highest, index = on_grid.max(-1)
        narrow = self._parabola(on_grid, self._all_rows(series), index)[1] * NARROW**2 > 1
        if narrow.all():
            return self._gaussian_sum(series, on_grid)
        weight = (on_grid - highest[:, None]).clamp_min(NOTHING).exp()
        total = weight.sum(-1)
        value = highest + (total / len(self.grid)).log()
        mean_waves = weight @ self.waves.T / total[:, None]
        if narrow.any():
            value[narrow], mean_waves[narrow] = self._gaussian_sum(series[narrow], on_grid[narrow])
        return value, mean_waves

    def _gaussian_sum(self, series, on_grid) -> tuple[torch.Tensor, torch.Tensor]:
        """What `_integrate` gives, from a Gaussian at each maximum."""
        row, angle, log_share, bend = self._maxima(series, on_grid)
        best = series[:, 0].scatter_reduce(0, row, log_share, "amax", include_self=False)
        share = (log_share - best[row]).exp()
        total = torch.zeros_like(best).index_add(0, row, share)
        phase = angle[:, None] * self.orders
        fading = (-(self.orders**2) / (2 * bend[:, None])).exp()  # mean wave of a Gaussian
        waves = [torch.ones_like(angle)[:, None], fading * phase.cos(), fading * phase.sin()]
        waves = share[:, None] * torch.cat(waves, dim=-1)
        waves = torch.zeros_like(series).index_add(0, row, waves) / total[:, None]
        return best + total.log() - np.log(2 * np.pi) / 2, waves

    def modes(self, series: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Maxima of a log posterior, most probable first: angle, probability and standard
        deviation, (B, N) each; of those that are not there the probability is zero."""
        row, angle, log_share, bend = self._maxima(series, series @ self.waves)
        place = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
        found = series.new_zeros(3, len(series), max(N_MODES, row.bincount(minlength=1).max()))
        found[1] = -torch.inf
        found[:, row, place] = torch.stack([angle, log_share, bend.rsqrt()])
        best = found[1].argsort(descending=True, stable=True)[:, :N_MODES]
        angle, log_share, sd = (table.gather(1, best) for table in found)
        return angle, torch.softmax(log_share, -1), sd

    def _maxima(self, series: torch.Tensor, on_grid: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All maxima that count, of all series in one list: the row each belongs to, its angle,
        the log of what a Gaussian there adds to the integral, and its curvature.

        Between the points of the grid a maximum can be higher by 8 % of its height at most
        (Bernstein: f(x + d) >= max f cos(m d) for a series of degree m).
        """
        least = torch.lerp(series[:, :1], on_grid.amax(-1, keepdim=True), LOWEST_ON_GRID)
        top = (on_grid >= on_grid.roll(1, -1)) & (on_grid > on_grid.roll(-1, -1))
        top &= on_grid > least - NEGLIGIBLE_NATS
        top.scatter_(-1, on_grid.argmax(-1, keepdim=True), True)  # of a flat one, any
        row, index = top.nonzero(as_tuple=True)
        angle, height, bend = self._refine(series[row], on_grid, row, index)
        bend = bend.clamp_min(0.01 / self.step**2)  # a shoulder is no wide maximum
        return row, angle, height - bend.log() / 2, bend

    def at(self, series: torch.Tensor, angle: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Value, slope and downward curvature of series (N, 2m + 1) at one angle each, (N,).

        They are those at the angle zero once the series is turned back.
        """
        cosine, sine = self.turn(series, -angle)[:, 1:].chunk(2, dim=-1)
        return series[:, 0] + cosine.sum(-1), sine @ self.orders, cosine @ self.orders**2

    def _parabola(self, on_grid, row, index) -> tuple[torch.Tensor, torch.Tensor]:
        """Top and downward curvature, in steps of the grid, of the parabola through a point of the
        grid and the points beside it; (N,) rows and indices."""
        before, here, after = (on_grid[row, (index + i) % len(self.grid)] for i in (-1, 0, 1))
        bend = (2 * here - before - after).clamp_min(1e-30)
        return ((after - before) / (2 * bend)).clamp(-0.5, 0.5), bend

    def _refine(self, series, on_grid, row, index) -> tuple[torch.Tensor, ...]:
        """Angle, height and curvature (N,) of the maxima beside points of the grid.

        The parabola comes within a hundredth of a period, one of Newton's steps squares that.
        `series` are those of the rows, (N, 2m + 1).
        """
        angle = self.grid[index] + self.step * self._parabola(on_grid, row, index)[0]
        height, slope, bend = self.at(series, angle)
        step = torch.where(bend > 0, slope / bend.clamp_min(1e-30), 0.0)
        step = step.clamp(-self.step / 2, self.step / 2)
        return angle + step, height + slope * step / 2, bend

    def _all_rows(self, series: torch.Tensor) -> torch.Tensor:
        return torch.arange(len(series), device=series.device)

    def best_angle(self, series: torch.Tensor) -> torch.Tensor:
        """The angle (B,) at the top of each series: the best of the grid, refined."""
        on_grid = series @ self.waves
        return self._refine(series, on_grid, self._all_rows(series), on_grid.argmax(-1))[0]

    def nearest_angle(self, series: torch.Tensor) -> torch.Tensor:
        """Of the tops of each series that are nearly the highest, the one nearest to zero (B,).

        A motif of nearly fourfold symmetry has four tops of nearly one height. Which of them is
        the highest changes from motif to motif; which is nearest to zero does not.
        """
        height = series @ self.waves - series[:, :1]
        top = (height >= height.roll(1, -1)) & (height >= height.roll(-1, -1))
        top &= height >= NEARLY_BEST * height.amax(-1, keepdim=True)
        distance = torch.where(top, self.grid.abs(), torch.inf)
        return self._refine(series, height, self._all_rows(series), distance.argmin(-1))[0]

    def small_turn(self, series: torch.Tensor) -> torch.Tensor:
        """The angle (B,) of the top beside zero of each series, within a step of the grid."""
        angle = torch.zeros_like(series[:, 0])
        for _ in range(2):  # Newton's steps
            _, slope, bend = self.at(series, angle)
            step = torch.where(bend > 0, slope / bend.clamp_min(1e-30), 0.0)
            angle = (angle + step).clamp(-self.step, self.step)
        return angle

    def turn(self, series: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """The series (B, 2m + 1) of motifs turned by -angle: its top moves by +angle."""
        cosine, sine = series[:, 1:].chunk(2, dim=-1)
        phase = angle[:, None] * self.orders
        c, s = phase.cos(), phase.sin()
        return torch.cat([series[:, :1], cosine * c - sine * s, cosine * s + sine * c], dim=-1)
