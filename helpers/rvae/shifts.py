"""The turn of a sub-image whose motif may lie a little off the centre of its window."""

import torch

from .posterior import AngleSeries

START = -1.0  # of the search for the typical shift: its logarithm, px
STEPS = 6  # of that search


class ShiftedSeries(AngleSeries):
    """The same for motifs that may lie a little off the centre of their window.

    To first order a shift adds a times the slope of the motif. With a normal prior on both
    components of a, they are integrated by hand; what remains is again a Fourier series in the
    angle, of twice the degree.
    """

    def __init__(self, basis):
        super().__init__(basis, degree=2)
        to_series = 2 / len(self.grid) * self.waves.T  # (A, 4m + 1), exact up to twice the degree
        to_series[:, 0] /= 2
        slopes = torch.as_tensor(basis.shift_slopes())  # (2, K, K)
        self._hold(slopes=slopes, to_series=to_series)

    def log_posterior(
        self,
        c: torch.Tensor,
        g: torch.Tensor,
        log_sigma: torch.Tensor,
        log_shift: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        series, rest = super().log_posterior(c, g, log_sigma)
        pull, spread, log_det = self._pull(c, g, log_sigma, log_shift)
        on_grid = pull @ self.waves
        on_grid = on_grid.movedim(0, -1)  # (B, A, 2)
        gain = ((on_grid @ spread) * on_grid).sum(-1) / 2
        series_with_shift = series + gain @ self.to_series
        rest_with_shift = rest - log_det / 2
        return series_with_shift, rest_with_shift

    def evidence(self, c, g, log_sigma, log_shift) -> torch.Tensor:
        """log p(c|g) of upright data at the angle beside zero, but for a constant; (B,).

        Shifts are integrated. Other tops do not count: where two are of one height, rounding
        would choose between them.
        """
        angle = self.small_turn(self.of(c, g))
        variance = (2 * log_sigma).exp()
        off = self.rotate(c, -angle) - g  # (B, K)
        along = g @ self.slopes  # (2, B, K)
        precision = self._precision(along, variance, log_shift)
        pull = (off * along).sum(-1)
        pull = pull.T / variance  # (B, 2)
        shift = torch.linalg.solve(precision, pull)
        gain = (pull * shift).sum(-1)
        log_det = precision.logdet()
        misfit = off.square().sum(-1) / variance
        return (gain - log_det - misfit) / 2

    def fitted(
        self,
        c: torch.Tensor,
        g: torch.Tensor,
        angle: torch.Tensor,
        log_sigma: torch.Tensor,
        log_shift: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The motifs as found in the data (B, K), and their shift (B, 2) [row, column]."""
        (row, col), _ = self._shift(c, g, angle, log_sigma, log_shift)
        row_slope, col_slope = self.slopes
        moved = g + row[:, None] * (g @ row_slope) + col[:, None] * (g @ col_slope)
        # From the axes of the motif to those of the image.
        cos = angle.cos()
        sin = angle.sin()
        image_row = cos * row - sin * col
        image_col = sin * row + cos * col
        shift = torch.stack([image_row, image_col], dim=-1)
        fitted = self.rotate(moved, angle)
        return fitted, shift

    def centred(self, c, g, angle, log_sigma, log_shift):
        moved, _ = self.fitted(c, g, angle, log_sigma, log_shift)
        return c - (moved - self.rotate(g, angle))

    def typical_shift(self, c, g, log_sigma) -> torch.Tensor:
        """Log of the rms shift along one axis, px, that makes data c likely (by EM)."""
        log_shift = torch.full_like(log_sigma, START)
        for _ in range(STEPS):
            series, _ = self.log_posterior(c, g, log_sigma, log_shift)
            angle = self.best_angle(series)
            del series
            shift, spread = self._shift(c, g, angle, log_sigma, log_shift)
            mean_square = shift.square().mean()
            uncertainty = spread.diagonal(dim1=1, dim2=2).mean()
            variance = mean_square + uncertainty
            log_shift = variance.log() / 2
        return log_shift

    def _shift(self, c, g, angle, log_sigma, log_shift):
        """Most likely shift (2, B) along the axes of the motif, and its covariance (B, 2, 2)."""
        pull, spread, _ = self._pull(c, g, log_sigma, log_shift)
        row_pull, _, _ = self.at(pull[0], angle)
        col_pull, _, _ = self.at(pull[1], angle)
        here = torch.stack([row_pull, col_pull], dim=-1)
        shift = (here[:, None] @ spread)[:, 0]
        return shift.T, spread

    def _pull(self, c, g, log_sigma, log_shift):
        """Series (2, B, 4m + 1) of the pull along rows and columns, covariance (B, 2, 2) of the
        shift, its log share (B,)."""
        variance = (2 * log_sigma).exp()
        along = g @ self.slopes  # (2, B, K)
        pull = self.of(c, along)
        pull[..., 0] -= (g * along).sum(-1)
        precision = self._precision(along, variance, log_shift)
        log_det = torch.logdet(precision) + 4 * log_shift
        pull = pull / variance
        spread = torch.linalg.inv(precision)
        return pull, spread, log_det

    def _precision(self, along, variance, log_shift) -> torch.Tensor:
        """One over the covariance of the shift, (B, 2, 2), from the slopes (2, B, K)."""
        unit = torch.eye(2, device=along.device)
        prior = unit * (-2 * log_shift).exp()
        rows = along.transpose(0, 1)  # (B, 2, K)
        columns = along.permute(1, 2, 0)  # (B, K, 2)
        return prior + rows @ columns / variance
