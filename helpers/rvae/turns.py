"""What a turn does to disk harmonics, and all turns of the circle at once.

A turn by theta multiplies what has the angular order m by exp(i m theta): the overlaps of a
sub-image with a motif at all turns are one Fourier transform, and so is the way back.
"""

import numpy as np
import torch

from .posterior import NOTHING

GRID_PER_ORDER = 4  # points of the circle in one period of the finest wave
PART = 1024  # sub-images whose posterior is held at a time


class Turns:
    """Coefficients (N, K) laid out as (m, N, n) by angular order, and what a turn does there.

    Parameters
    ----------
    basis : DiskHarmonics
    device : where the tables lie
    """

    def __init__(self, basis, device="cpu"):
        columns = np.arange(len(basis))
        still, cosines, _ = basis.split(columns)
        self.still = len(still)
        self.pairs = len(cosines)

        # How many coefficients each angular order has, where a pair (cos, sin) counts once.
        counts = np.bincount(basis.pair_order, minlength=1)
        counts[0] = self.still
        orders = len(counts)
        longest = int(counts.max())  # coefficients that one order has
        self.shape = (orders, longest)

        # Where each coefficient lies: in the row of its order, at its place there.
        order = np.repeat(np.arange(orders), counts)
        places = [np.arange(count) for count in counts]
        place = np.concatenate(places)
        self.order = torch.as_tensor(order, device=device)
        self.place = torch.as_tensor(place, device=device)

        # The points of the circle are a power of two, for the Fourier transform.
        finest_order = max(16, orders - 1)
        enough = GRID_PER_ORDER * finest_order
        exponent = np.ceil(np.log2(enough))
        self.size = int(2**exponent)
        step_rad = 2 * np.pi / self.size
        points = torch.arange(self.size, device=device)
        self.grid = points * step_rad

    def lay(self, c: torch.Tensor) -> torch.Tensor:
        """(N, K) real to (m, N, n) complex: a pair (cos, sin) is one number cos + i sin."""
        still, cosine, sine = c.split([self.still, self.pairs, self.pairs], dim=-1)
        round_part = torch.complex(still, 0 * still)
        turning_part = torch.complex(cosine, sine)
        values = torch.cat([round_part, turning_part], dim=-1)
        del round_part, turning_part

        count = len(c)
        orders, longest = self.shape
        laid = values.new_zeros(orders, count, longest)
        laid[self.order, :, self.place] = values.T
        return laid

    def gather(self, laid: torch.Tensor) -> torch.Tensor:
        """The way back of `lay`."""
        values = laid[self.order, :, self.place].T
        still = values[:, : self.still]
        pairs = values[:, self.still :]
        return torch.cat([still.real, pairs.real, pairs.imag], dim=-1)

    def overlaps(self, c: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """<c, R_theta g> (N, J, A) at all turns of the grid, of laid-out data and motifs."""
        conjugate = c.conj()
        transposed = g.transpose(1, 2)
        waves = torch.bmm(conjugate, transposed)
        waves = waves.permute(1, 2, 0)  # (N, J, m)
        count, motifs, orders = waves.shape

        # A real series: what has an order above 0 counts twice, once for its conjugate.
        spectrum = waves.new_zeros(count, motifs, self.size // 2 + 1)
        spectrum[..., :orders] = waves / 2
        spectrum[..., 0] *= 2
        return torch.fft.irfft(spectrum, n=self.size, norm="forward")

    def turned_back(self, c: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Sum (m, J, n) of laid-out data, each turned back by all angles, weighted (N, J, A)."""
        orders = self.shape[0]
        spectrum = torch.fft.rfft(weight)
        waves = spectrum[..., :orders]  # sum of w exp(-i m theta), (N, J, m)
        by_order = waves.permute(2, 1, 0)
        return torch.bmm(by_order, c)

    def rotate(self, c: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """Coefficients (N, K), each turned by its angle (N,)."""
        orders = torch.arange(self.shape[0], device=c.device)
        turned = torch.empty_like(c)
        for first in range(0, len(c), PART):
            part = slice(first, first + PART)
            phase = orders[:, None] * angle[part]
            ones = torch.ones_like(phase)
            factor = torch.polar(ones, phase)
            laid = self.lay(c[part]) * factor[:, :, None]
            turned[part] = self.gather(laid)
        return turned


def log_sum(logits: torch.Tensor) -> torch.Tensor:
    """log of the sum of exp(logits) along the last axis."""
    top = logits.amax(-1, keepdim=True)
    # One name for all steps: no more than two copies of the logits are held at a time.
    weight = logits - top
    weight = weight.clamp_min(NOTHING)
    weight = weight.exp()
    total = weight.sum(-1)
    return top[..., 0] + total.log()


def top_of(on_grid: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Angle (N,) of the parabola through grid point `index` (N,) of each row and those beside."""
    count, size = on_grid.shape
    rows = torch.arange(count, device=on_grid.device)
    before = on_grid[rows, (index - 1) % size]
    here = on_grid[rows, index]
    after = on_grid[rows, (index + 1) % size]

    bend = 2 * here - before - after
    bend = bend.clamp_min(1e-20)
    slope = after - before
    offset = slope / (2 * bend)
    offset = offset.clamp(-0.5, 0.5)
    step_rad = 2 * np.pi / size
    return (index + offset) * step_rad
