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
LOG_TWO_PI = np.log(2 * np.pi)
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
        highest_of_basis = basis.order.max()
        highest_order = degree * highest_of_basis
        orders = torch.arange(1, highest_order + 1, dtype=torch.float32)
        periods = max(16, len(orders))
        count = GRID_PER_ORDER * periods
        self.split = basis.split
        self.step = 2 * np.pi / count
        grid = torch.arange(count) * self.step - np.pi  # (A,)
        phase = orders[:, None] * grid
        constant = torch.ones(1, count)
        waves = torch.cat([constant, phase.cos(), phase.sin()])  # (2m + 1, A)
        pair_order = torch.as_tensor(basis.pair_order)
        has_order = pair_order[:, None] == orders
        self._hold(
            orders=orders,
            shares=has_order.float(),  # (P, m)
            grid=grid,
            waves=waves,
        )

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

    def log_posterior(
        self,
        c: torch.Tensor,
        g: torch.Tensor,
        log_sigma: torch.Tensor,
        log_shift: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """log p(c|g, theta) as a series over theta (B, 2m + 1), and the rest of it (B,)."""
        variance = (2 * log_sigma).exp()
        c_square = torch.linalg.vecdot(c, c)
        g_square = torch.linalg.vecdot(g, g)
        norms = (c_square + g_square) / (2 * variance)
        series = self.of(c, g) / variance
        rest = -norms - c.shape[-1] * log_sigma
        return series, rest

    def centred(self, c, g, angle, log_sigma, log_shift=None) -> torch.Tensor:
        """Data (B, K) without what a shift of the motifs g explains."""
        return c

    def rotate(self, c: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """Each motif (B, K) turned by its angle (B,), as `DiskHarmonics.rotate` does."""
        still, cosine, sine = self.split(c)
        phase = angle[:, None] * self.orders
        cos = phase.cos() @ self.shares.T  # (B, P)
        sin = phase.sin() @ self.shares.T
        turned_cosine = cosine * cos - sine * sin
        turned_sine = cosine * sin + sine * cos
        return torch.cat([still, turned_cosine, turned_sine], dim=-1)

    def slope(self, g: torch.Tensor) -> torch.Tensor:
        """How motifs (B, K) change as they turn, a radian's worth, (B, K)."""
        still, cosine, sine = self.split(g)
        m = self.shares @ self.orders
        nothing = torch.zeros_like(still)
        return torch.cat([nothing, -sine * m, cosine * m], dim=-1)

    # ------------------------------------------------ a series over the circle

    def log_mean(self, series: torch.Tensor) -> torch.Tensor:
        """log of the mean of exp(series) over the circle, (B,).

        Its gradient is the mean of every wave under the posterior (Fisher's identity): nothing on
        the way to the sum has to be differentiated.
        """
        with torch.no_grad():
            value, mean_waves = self._integrate(series)
        return self._with_gradient(value, mean_waves, series)

    def log_mean_near_zero(self, series: torch.Tensor) -> torch.Tensor:
        """The same, from the highest maximum near the angle zero alone, as a Gaussian (B,).

        For a series that is held there by a prior: other maxima do not count.
        """
        with torch.no_grad():
            near = self.grid.abs() <= NEAR_ZERO
            highest = (series @ self.waves[:, near]).argmax(-1)
            angle = self.grid[near][highest]
            for _ in range(2):  # Newton's steps
                height, slope, bend = self.at(series, angle)
                bend = bend.clamp_min(0.01 / self.step**2)
                step = slope / bend
                step = step.clamp(-self.step / 2, self.step / 2)
                angle = angle + step
            top = height + slope * step / 2
            log_width = (bend.log() + LOG_TWO_PI) / 2
            value = top - log_width
            mean_waves = self._gaussian_waves(angle, bend)
        return self._with_gradient(value, mean_waves, series)

    def _with_gradient(self, value, mean_waves, series) -> torch.Tensor:
        """The value (B,), with the mean waves as its gradient with respect to the series."""
        return value + (mean_waves * (series - series.detach())).sum(-1)

    def _gaussian_waves(self, angle: torch.Tensor, bend: torch.Tensor) -> torch.Tensor:
        """Means (N, 2m + 1) of the waves under Gaussians at the angles, of curvature `bend`."""
        phase = angle[:, None] * self.orders
        fading = (-(self.orders**2) / (2 * bend[:, None])).exp()
        constant = torch.ones_like(angle)
        cosine = fading * phase.cos()
        sine = fading * phase.sin()
        return torch.cat([constant[:, None], cosine, sine], dim=-1)

    def _integrate(self, series: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """log of the mean over the circle (B,), and the mean waves (B, 2m + 1).

        A sum over a grid is exact as long as no maximum is narrower than a step; one that is
        narrower is as good as Gaussian. Each series takes the way that suits its highest point.
        """
        on_grid = series @ self.waves
        highest, index = on_grid.max(-1)
        every_row = self._all_rows(series)
        _, bend = self._parabola(on_grid, every_row, index)
        narrow = bend * NARROW**2 > 1
        if narrow.all():
            return self._gaussian_sum(series, on_grid)
        weight = on_grid - highest[:, None]
        weight = weight.clamp_min(NOTHING)
        weight = weight.exp()
        total = weight.sum(-1)
        mean_weight = total / len(self.grid)
        value = highest + mean_weight.log()
        mean_waves = weight @ self.waves.T / total[:, None]
        if narrow.any():
            narrow_value, narrow_waves = self._gaussian_sum(series[narrow], on_grid[narrow])
            value[narrow] = narrow_value
            mean_waves[narrow] = narrow_waves
        return value, mean_waves

    def _gaussian_sum(self, series, on_grid) -> tuple[torch.Tensor, torch.Tensor]:
        """What `_integrate` gives, from a Gaussian at each maximum."""
        row, angle, log_share, bend = self._maxima(series, on_grid)
        start = series[:, 0]
        best = start.scatter_reduce(0, row, log_share, "amax", include_self=False)
        share = log_share - best[row]
        share = share.exp()
        nothing = torch.zeros_like(best)
        total = nothing.index_add(0, row, share)
        waves = share[:, None] * self._gaussian_waves(angle, bend)
        waves = torch.zeros_like(series).index_add(0, row, waves) / total[:, None]
        value = best + total.log() - LOG_TWO_PI / 2
        return value, waves

    def modes(self, series: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Maxima of a log posterior, most probable first: angle, probability and standard
        deviation, (B, N) each; of those that are not there the probability is zero."""
        row, angle, log_share, bend = self._maxima(series, series @ self.waves)
        sd = bend.rsqrt()
        # Maxima of one series follow each other in the list: each gets its place in the row.
        first_of_row = torch.searchsorted(row, row)
        in_list = torch.arange(len(row), device=row.device)
        place = in_list - first_of_row
        count = row.bincount(minlength=1)
        most = count.max()
        width = max(N_MODES, most)
        found = series.new_zeros(3, len(series), width)
        found[1] = -torch.inf
        found[:, row, place] = torch.stack([angle, log_share, sd])
        order = found[1].argsort(descending=True, stable=True)
        best = order[:, :N_MODES]
        angle = found[0].gather(1, best)
        log_share = found[1].gather(1, best)
        probability = torch.softmax(log_share, -1)
        sd = found[2].gather(1, best)
        return angle, probability, sd

    def _maxima(self, series: torch.Tensor, on_grid: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """All maxima that count, of all series in one list: the row each belongs to, its angle,
        the log of what a Gaussian there adds to the integral, and its curvature.

        Between the points of the grid a maximum can be higher by 8 % of its height at most
        (Bernstein: f(x + d) >= max f cos(m d) for a series of degree m).
        """
        highest = on_grid.amax(-1, keepdim=True)
        least = torch.lerp(series[:, :1], highest, LOWEST_ON_GRID)
        top = (on_grid >= on_grid.roll(1, -1)) & (on_grid > on_grid.roll(-1, -1))
        top &= on_grid > least - NEGLIGIBLE_NATS
        best = on_grid.argmax(-1, keepdim=True)
        top.scatter_(-1, best, True)  # of a flat one, any
        row, index = top.nonzero(as_tuple=True)
        angle, height, bend = self._refine(series[row], on_grid, row, index)
        bend = bend.clamp_min(0.01 / self.step**2)  # a shoulder is no wide maximum
        log_share = height - bend.log() / 2
        return row, angle, log_share, bend

    def at(self, series: torch.Tensor, angle: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Value, slope and downward curvature of series (N, 2m + 1) at one angle each, (N,).

        They are those at the angle zero once the series is turned back.
        """
        turned_back = self.turn(series, -angle)
        cosine, sine = turned_back[:, 1:].chunk(2, dim=-1)
        value = series[:, 0] + cosine.sum(-1)
        slope = sine @ self.orders
        bend = cosine @ self.orders**2
        return value, slope, bend

    def _parabola(self, on_grid, row, index) -> tuple[torch.Tensor, torch.Tensor]:
        """Top and downward curvature, in steps of the grid, of the parabola through a point of the
        grid and the points beside it; (N,) rows and indices."""
        count = len(self.grid)
        before = on_grid[row, (index - 1) % count]
        here = on_grid[row, index % count]
        after = on_grid[row, (index + 1) % count]
        bend = 2 * here - before - after
        bend = bend.clamp_min(1e-30)
        top = (after - before) / (2 * bend)
        return top.clamp(-0.5, 0.5), bend

    def _refine(self, series, on_grid, row, index) -> tuple[torch.Tensor, ...]:
        """Angle, height and curvature (N,) of the maxima beside points of the grid.

        The parabola comes within a hundredth of a period, one of Newton's steps squares that.
        `series` are those of the rows, (N, 2m + 1).
        """
        off_grid, _ = self._parabola(on_grid, row, index)
        angle = self.grid[index] + self.step * off_grid
        height, slope, bend = self.at(series, angle)
        step = self._newton_step(slope, bend)
        step = step.clamp(-self.step / 2, self.step / 2)
        top_angle = angle + step
        top_height = height + slope * step / 2
        return top_angle, top_height, bend

    def _newton_step(self, slope: torch.Tensor, bend: torch.Tensor) -> torch.Tensor:
        """From a point to the top beside it; none where the series is not curved downwards."""
        step = slope / bend.clamp_min(1e-30)
        return torch.where(bend > 0, step, 0.0)

    def _all_rows(self, series: torch.Tensor) -> torch.Tensor:
        count = len(series)
        return torch.arange(count, device=series.device)

    def best_angle(self, series: torch.Tensor) -> torch.Tensor:
        """The angle (B,) at the top of each series: the best of the grid, refined."""
        on_grid = series @ self.waves
        every_row = self._all_rows(series)
        highest = on_grid.argmax(-1)
        angle, _, _ = self._refine(series, on_grid, every_row, highest)
        return angle

    def nearest_angle(self, series: torch.Tensor) -> torch.Tensor:
        """Of the tops of each series that are nearly the highest, the one nearest to zero (B,).

        A motif of nearly fourfold symmetry has four tops of nearly one height. Which of them is
        the highest changes from motif to motif; which is nearest to zero does not.
        """
        height = series @ self.waves - series[:, :1]
        top = (height >= height.roll(1, -1)) & (height >= height.roll(-1, -1))
        highest = height.amax(-1, keepdim=True)
        top &= height >= NEARLY_BEST * highest
        nearest = torch.where(top, self.grid.abs(), torch.inf).argmin(-1)
        every_row = self._all_rows(series)
        angle, _, _ = self._refine(series, height, every_row, nearest)
        return angle

    def small_turn(self, series: torch.Tensor) -> torch.Tensor:
        """The angle (B,) of the top beside zero of each series, within a step of the grid."""
        angle = torch.zeros_like(series[:, 0])
        for _ in range(2):  # Newton's steps
            _, slope, bend = self.at(series, angle)
            angle = angle + self._newton_step(slope, bend)
            angle = angle.clamp(-self.step, self.step)
        return angle

    def turn(self, series: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """The series (B, 2m + 1) of motifs turned by -angle: its top moves by +angle."""
        cosine, sine = series[:, 1:].chunk(2, dim=-1)
        phase = angle[:, None] * self.orders
        cos = phase.cos()
        sin = phase.sin()
        constant = series[:, :1]
        turned_cosine = cosine * cos - sine * sin
        turned_sine = cosine * sin + sine * cos
        return torch.cat([constant, turned_cosine, turned_sine], dim=-1)
