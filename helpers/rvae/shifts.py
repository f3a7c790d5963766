"""The turn of a sub-image whose motif may lie a little off the centre of its window."""

import torch

from .posterior import AngleSeries

START, STEPS = -1.0, 6  # of the search for the typical shift: its logarithm, px


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

    def log_posterior(self, c, g, log_sigma, log_shift):
        series, rest = super().log_posterior(c, g, log_sigma)
        pull, spread, log_det = self._pull(c, g, log_sigma, log_shift)
        on_grid = (pull @ self.waves).movedim(0, -1)  # (B, A, 2)
        gain = ((on_grid @ spread) * on_grid).sum(-1) / 2
        return series + gain @ self.to_series, rest - log_det / 2

    def evidence(self, c, g, log_sigma, log_shift) -> torch.Tensor:
        """log p(c|g) of upright data at the angle beside zero, but for a constant; (B,).

        Shifts are integrated. Other tops do not count: where two are of one height, rounding
        would choose between them.
        """
        angle, variance = self.small_turn(self.of(c, g)), (2 * log_sigma).exp()
        off, along = self.rotate(c, -angle) - g, g @ self.slopes  # (B, K), (2, B, K)
        precision = self._precision(along, variance, log_shift)
        pull = (off * along).sum(-1).T / variance  # (B, 2)
        gain = (pull * torch.linalg.solve(precision, pull)).sum(-1)
        return (gain - precision.logdet() - off.square().sum(-1) / variance) / 2

    def fitted(self, c, g, angle, log_sigma, log_shift):
        """The motifs as found in the data (B, K), and their shift (B, 2) [row, column]."""
        (row, col), _ = self._shift(c, g, angle, log_sigma, log_shift)
        moved = g + row[:, None] * (g @ self.slopes[0]) + col[:, None] * (g @ self.slopes[1])
        cos, sin = angle.cos(), angle.sin()  # from the axes of the motif to those of the image
        shift = torch.stack([cos * row - sin * col, sin * row + cos * col], dim=-1)
        return self.rotate(moved, angle), shift

    def centred(self, c, g, angle, log_sigma, log_shift):
        moved, _ = self.fitted(c, g, angle, log_sigma, log_shift)
        return c - (moved - self.rotate(g, angle))

    def typical_shift(self, c, g, log_sigma) -> torch.Tensor:
        """Log of the rms shift along one axis, px, that makes data c likely (by EM)."""
        log_shift = torch.full_like(log_sigma, START)
        for _ in range(STEPS):
            angle = self.best_angle(self.log_posterior(c, g, log_sigma, log_shift)[0])
            shift, spread = self._shift(c, g, angle, log_sigma, log_shift)
            variance = shift.square().mean() + spread.diagonal(dim1=1, dim2=2).mean()
            log_shift = variance.log() / 2
        return log_shift

    def _shift(self, c, g, angle, log_sigma, log_shift):
        """Most likely shift (2, B) along the axes of the motif, and its covariance (B, 2, 2)."""
        pull, spread, _ = self._pull(c, g, log_sigma, log_shift)
        here = torch.stack([self.at(p, angle)[0] for p in pull], dim=-1)
        return (here[:, None] @ spread)[:, 0].T, spread

    def _pull(self, c, g, log_sigma, log_shift):
        """Series (2, B, 4m + 1) of the pull along rows and columns, covariance (B, 2, 2) of the
        shift, its log share (B,)."""
        variance = (2 * log_sigma).exp()
        along = g @ self.slopes  # (2, B, K)
        pull = self.of(c, along)
        pull[..., 0] -= (g * along).sum(-1)
        precision = self._precision(along, variance, log_shift)
        log_det = torch.logdet(precision) + 4 * log_shift
        return pull / variance, torch.linalg.inv(precision), log_det

    def _precision(self, along, variance, log_shift) -> torch.Tensor:
        """One over the covariance of the shift, (B, 2, 2), from the slopes (2, B, K)."""
        prior = torch.eye(2, device=along.device) * (-2 * log_shift).exp()
        return prior + along.transpose(0, 1) @ along.permute(1, 2, 0) / variance
