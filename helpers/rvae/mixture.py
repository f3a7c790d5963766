"""A few motifs, each turned by any angle, in noise: a mixture whose turns need not be learned.

    p(c) = sum_j share_j  mean_theta N(c; R_theta g_j, s^2)

It is fitted by expectation and maximisation (`helpers.rvae.fitting`) in disk harmonics, where all
turns are weighed at once (`helpers.rvae.turns`). Such mixtures are known from the class averages of
cryo-electron microscopy.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from .turns import PART, Turns, log_sum, top_of

SMALLEST_SHARE = 1e-6


@dataclass(frozen=True)
class Mixture:
    """Motifs, how common each is, and how noisy sub-images are.

    Attributes
    ----------
    turns : Turns
    motifs : (J, K)
    log_share : (J,)
    variance : float
        Of a coefficient about its turned motif.
    evidence : float
        Mean log p(c) of the sub-images it was fitted to, nats.
    number : (J,)
        Sub-images that the motifs are means of, once they are `refined`.
    misfit : (J, K)
        Mean square of what a motif leaves of them, for each coefficient.
    """

    turns: Turns
    motifs: torch.Tensor
    log_share: torch.Tensor
    variance: float
    evidence: float = -np.inf
    number: torch.Tensor | None = None
    misfit: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.motifs)

    def logits(self, laid: torch.Tensor) -> torch.Tensor:
        """log of motif and turn (N, J, A) of laid-out sub-images, up to what depends on neither."""
        laid_motifs = self.turns.lay(self.motifs)
        overlaps = self.turns.overlaps(laid, laid_motifs)
        squares = self.motifs.square()
        norms = squares.sum(-1)
        half_norms = norms[:, None] / 2
        return (overlaps - half_norms) / self.variance + self.log_share[:, None]

    def mean_evidence(self, c: torch.Tensor) -> float:
        """Mean log p(c) of sub-images (N, K), in nats."""
        levels = [self._level(part) for part in c.split(PART)]
        level = torch.cat(levels)
        mean_level = level.mean()
        constant = log_constant(self.turns.size, c.shape[1], self.variance)
        norms = c.square().sum(-1)
        mean_norm = norms.mean() / (2 * self.variance)
        evidence = mean_level - mean_norm - constant
        return float(evidence)

    def _level(self, part: torch.Tensor) -> torch.Tensor:
        """log of the sum (N,) over motifs and turns, up to what depends on neither."""
        logits = self.logits(self.turns.lay(part))
        return log_sum(logits.flatten(1))


def log_constant(turns: int, numbers: int, variance: float) -> float:
    """What log p of `numbers` coefficients lacks beside the sum over turns of their logits."""
    log_turns = np.log(turns)
    return log_turns + numbers / 2 * np.log(2 * np.pi * variance)


def best_turns(mixture: Mixture, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest motif (N,) of each sub-image (N, K) and its turn (N,), between grid points."""
    motifs = []
    turns = []
    for part in c.split(PART):
        motif, turn = _best_turns_of(mixture, part)
        motifs.append(motif)
        turns.append(turn)
    motif = torch.cat(motifs)
    turn = torch.cat(turns)
    return motif, turn


def _best_turns_of(mixture: Mixture, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `best_turns`, of so many sub-images as may be held at a time."""
    logits = mixture.logits(mixture.turns.lay(part))
    motif, on_grid = likeliest_motif(logits)
    return motif, top_of(on_grid, on_grid.argmax(1))


def likeliest_motif(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The motif (N,) with the highest of the logits (N, J, A), and its logits (N, A)."""
    highest = logits.amax(2)
    motif = highest.argmax(1)
    rows = torch.arange(len(logits))
    return motif, logits[rows, motif]


def refined(mixture: Mixture, c: torch.Tensor) -> Mixture:
    """The motifs as means of all sub-images (N, K), each turned back by its likeliest turn."""
    motif, turn = best_turns(mixture, c)
    upright = mixture.turns.rotate(c, -turn)
    count = len(mixture)
    number = torch.bincount(motif, minlength=count)
    number = number.to(c.dtype)
    divisor = number.clamp_min(1)

    def mean_of(values: torch.Tensor) -> torch.Tensor:
        zeros = torch.zeros_like(mixture.motifs)
        sums = zeros.index_add(0, motif, values)
        return sums / divisor[:, None]

    # A motif without members stays as it was.
    has_members = number[:, None] > 0
    means = mean_of(upright)
    motifs = torch.where(has_members, means, mixture.motifs)
    squares = (upright - motifs[motif]).square()
    variance = squares.mean()
    misfit = mean_of(squares)
    share = number / len(c)
    share = share.clamp_min(SMALLEST_SHARE)
    return replace(
        mixture,
        motifs=motifs,
        log_share=share.log(),
        variance=float(variance),
        number=number,
        misfit=misfit,
    )


def chosen(mixture: Mixture, pieces: torch.Tensor) -> Mixture:
    """The mixture of some of its motifs, (J,) bool."""
    log_share = mixture.log_share[pieces]
    log_total = torch.logsumexp(log_share, 0)
    return replace(
        mixture,
        motifs=mixture.motifs[pieces],
        log_share=log_share - log_total,
        number=mixture.number[pieces],
        misfit=mixture.misfit[pieces],
    )
