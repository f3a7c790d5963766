"""A few motifs, each turned by any angle, in noise: a mixture whose turns need not be learned.

    p(c) = sum_j share_j  mean_theta N(c; R_theta g_j, s^2)

It is fitted by expectation and maximisation in disk harmonics, where a turn by theta multiplies
what has the angular order m by exp(i m theta): the overlaps of a sub-image with a motif at all
turns are one Fourier transform, and so is the way back. Such mixtures are known from the class
averages of cryo-electron microscopy.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from .posterior import NOTHING

GRID_PER_ORDER = 4  # points of the circle in one period of the finest wave
PART = 1024  # sub-images whose posterior is held at a time
FEW = 400  # sub-images of which none is spared
FIRST_PASSES, PASSES = 6, 12  # of a start, and of the likeliest of them
HOTTEST = 4.0  # at first the posterior is this much wider, so that motifs may change places
MOST_PASSES, STANDSTILL = 50, 5e-4  # until the evidence grows by less nats a pass
SMALLEST_SHARE = 1e-6
MOST_MOVES = 3  # of a motif from where there are two of a kind to where one serves two
PAYS = 4.0  # times what making two motifs one costs must be gained where one is split


class Turns:
    """Coefficients (N, K) laid out as (m, N, n) by angular order, and what a turn does there.

    Parameters
    ----------
    basis : DiskHarmonics
    device : where the tables lie
    """

    def __init__(self, basis, device="cpu"):
        still, cosines, _ = basis.split(np.arange(len(basis)))
        counts = np.bincount(basis.pair_order, minlength=1)
        counts[0] = len(still)
        self.still, self.pairs = len(still), len(cosines)
        self.order = torch.as_tensor(np.repeat(np.arange(len(counts)), counts), device=device)
        self.place = torch.as_tensor(np.concatenate([np.arange(n) for n in counts]), device=device)
        self.shape = (len(counts), int(counts.max()))
        self.size = int(2 ** np.ceil(np.log2(GRID_PER_ORDER * max(16, len(counts) - 1))))
        self.grid = torch.arange(self.size, device=device) * (2 * np.pi / self.size)

    def lay(self, c: torch.Tensor) -> torch.Tensor:
        """(N, K) real to (m, N, n) complex: a pair (cos, sin) is one number cos + i sin."""
        still, cosine, sine = c.split([self.still, self.pairs, self.pairs], dim=-1)
        values = torch.cat([torch.complex(still, 0 * still), torch.complex(cosine, sine)], dim=-1)
        orders, longest = self.shape
        laid = values.new_zeros(orders, len(c), longest)
        laid[self.order, :, self.place] = values.T
        return laid

    def gather(self, laid: torch.Tensor) -> torch.Tensor:
        """The way back of `lay`."""
        values = laid[self.order, :, self.place].T
        pairs = values[:, self.still :]
        return torch.cat([values[:, : self.still].real, pairs.real, pairs.imag], dim=-1)

    def overlaps(self, c: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """<c, R_theta g> (N, J, A) at all turns of the grid, of laid-out data and motifs."""
        waves = torch.bmm(c.conj(), g.transpose(1, 2)).permute(1, 2, 0)  # (N, J, m)
        spectrum = waves.new_zeros(*waves.shape[:2], self.size // 2 + 1)
        spectrum[..., : waves.shape[2]] = waves / 2
        spectrum[..., 0] *= 2
        return torch.fft.irfft(spectrum, n=self.size, norm="forward")

    def turned_back(self, c: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Sum (m, J, n) of laid-out data, each turned back by all angles, weighted (N, J, A)."""
        waves = torch.fft.rfft(weight)[..., : self.shape[0]]  # sum of w exp(-i m theta), (N, J, m)
        return torch.bmm(waves.permute(2, 1, 0), c)

    def rotate(self, c: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """Coefficients (N, K), each turned by its angle (N,)."""
        orders = torch.arange(self.shape[0], device=c.device)
        turned = torch.empty_like(c)
        for part, by, into in zip(
            c.split(PART), angle.split(PART), turned.split(PART), strict=True
        ):
            phase = orders[:, None] * by
            laid = self.lay(part) * torch.polar(torch.ones_like(phase), phase)[:, :, None]
            into.copy_(self.gather(laid))
        return turned


def log_sum(logits: torch.Tensor) -> torch.Tensor:
    """log of the sum of exp(logits) along the last axis."""
    top = logits.amax(-1, keepdim=True)
    return top[..., 0] + (logits - top).clamp_min(NOTHING).exp().sum(-1).log()


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
        overlaps = self.turns.overlaps(laid, self.turns.lay(self.motifs))
        half_norms = self.motifs.square().sum(-1)[:, None] / 2
        return (overlaps - half_norms) / self.variance + self.log_share[:, None]

    def mean_evidence(self, c: torch.Tensor) -> float:
        """Mean log p(c) of sub-images (N, K), in nats."""
        levels = [log_sum(self.logits(self.turns.lay(part)).flatten(1)) for part in c.split(PART)]
        constant = np.log(self.turns.size) + c.shape[1] / 2 * np.log(2 * np.pi * self.variance)
        norms = c.square().sum(-1).mean() / (2 * self.variance)
        return float(torch.cat(levels).mean() - norms - constant)


def fit_mixture(
    c: torch.Tensor, turns: Turns, count: int, *, starts: int, rng, owner=None, known=None
) -> Mixture:
    """The likeliest mixture of `count` motifs of sub-images (N, K), by EM from several starts.

    Parameters
    ----------
    c : (N, K)
    starts : int
        Each goes a few passes on half of the sub-images; the likeliest goes on with all of them.
    rng : numpy.random.Generator
    owner : (count,) int, optional
        The name that a motif belongs to, -1 for none.
    known : (N,) int, optional
        The name that a sub-image is known by, -1 for none: it may be of its name's motifs alone.
    """
    if owner is None:
        owner, known = np.full(count, -1), np.full(len(c), -1)
    allowed = allowed_motifs(owner, known, c.device)
    spared = len(c) >= FEW and allowed is None  # of the known ones none can be
    some = slice(None, None, 2 if spared else 1)
    few, laid = c[some], turns.lay(c)
    tries = []
    for _ in range(starts):
        motifs = _first_motifs(few, turns, owner, known[some], rng)
        equal = few.new_full((count,), -np.log(count))
        first = Mixture(turns, motifs, equal, float(few.var(0).mean()))
        tries.append(_climb(first, few, laid[:, some], FIRST_PASSES, HOTTEST, allowed))
    best = max(tries, key=lambda mixture: mixture.evidence)
    best = _climb(best, c, laid, PASSES, HOTTEST / 2, allowed)
    if allowed is None:
        best = _dealt_better(best, c, laid)
    return best


def allowed_motifs(owner: np.ndarray, known: np.ndarray, device) -> torch.Tensor | None:
    """Which motifs (J,) a sub-image (N,) may be of, (N, J) bool: those of its name, if it is known
    by one. None where no sub-image is."""
    if (known < 0).all():
        return None
    return torch.as_tensor((known[:, None] < 0) | (known[:, None] == owner), device=device)


def _first_motifs(c: torch.Tensor, turns: Turns, owner, known, rng) -> torch.Tensor:
    """Sub-images (J, K) far from each other at any turn, drawn as in k-means++.

    A motif that has a name (J,) begins from a sub-image that is known by it (N,).
    """
    laid, norms = turns.lay(c), c.square().sum(-1)
    distance = torch.full_like(norms, norms.max())
    chosen: list[int] = []
    for name in owner:
        share = distance.double().cpu().numpy()
        if name >= 0:
            share = np.where(known == name, share, 0)
        last = int(rng.choice(len(c), p=share / share.sum()))
        best = turns.overlaps(laid, laid[:, [last]])[:, 0].amax(-1)
        distance = torch.minimum(distance, (norms + norms[last] - 2 * best).clamp_min(1e-9))
        chosen.append(last)
    return c[chosen]


def _climb(mixture: Mixture, c, laid, passes: int, hottest: float, allowed) -> Mixture:
    """So many passes of EM; the posterior is widened at first, and less and less."""
    for number in range(passes):
        heat = max(1.0, hottest * (1 - number / (0.6 * passes)))
        mixture = _one_pass(mixture, c, laid, heat, allowed)
    return mixture


def settle_mixture(mixture: Mixture, c: torch.Tensor, allowed=None) -> Mixture:
    """A mixture that goes on with sub-images (N, K) until its evidence stands still."""
    laid = mixture.turns.lay(c)
    mixture = _climb(mixture, c, laid, PASSES, HOTTEST, allowed)
    for _ in range(MOST_PASSES):
        before = mixture.evidence
        mixture = _one_pass(mixture, c, laid, 1.0, allowed)
        if mixture.evidence < before + STANDSTILL:
            break
    return mixture


def _dealt_better(mixture: Mixture, c, laid) -> Mixture:
    """The mixture, its motifs dealt out better where that can be.

    EM never leaves an arrangement in which one motif serves two sites and two motifs serve one.
    The two that are most alike are made one, and the one whose members differ most is split, as
    long as that pays: split and merge.
    """
    for _ in range(MOST_MOVES):
        moved = _split_and_merged(mixture, c)
        if moved is None:
            break
        moved = _climb(moved, c, laid, FIRST_PASSES, 1.0, None)
        if moved.evidence <= mixture.evidence:
            break
        mixture = moved
    return mixture


def _split_and_merged(mixture: Mixture, c: torch.Tensor) -> Mixture | None:
    """Two like motifs made one, and the most mixed one split; None if that would not pay."""
    if len(mixture) < 3:
        return None
    motif, turn = best_turns(mixture, c)
    left = mixture.turns.rotate(c, -turn) - mixture.motifs[motif]
    number = torch.bincount(motif, minlength=len(mixture)).to(c.dtype)
    gains, along = zip(*(_main_spread(left[motif == j]) for j in range(len(mixture))), strict=True)
    mixed = int(torch.stack(gains).argmax())
    laid = mixture.turns.lay(mixture.motifs)
    norms = mixture.motifs.square().sum(1)
    on_grid = mixture.turns.overlaps(laid, laid)
    apart = (norms[:, None] + norms - 2 * on_grid.amax(-1)).clamp_min(0)
    cost = apart * number[:, None] * number / (number[:, None] + number).clamp_min(1)
    cost.fill_diagonal_(torch.inf)
    cost[mixed] = cost[:, mixed] = torch.inf
    kept, freed = divmod(int(cost.argmin()), len(mixture))
    if gains[mixed] < PAYS * cost[kept, freed]:
        return None
    motifs, share = mixture.motifs.clone(), mixture.log_share.exp()
    step = along[mixed]
    motifs[freed] = motifs[mixed] + step
    motifs[mixed] = motifs[mixed] - step
    share[kept] += share[freed]
    share[mixed] /= 2
    share[freed] = share[mixed]
    return replace(mixture, motifs=motifs, log_share=share.log())


def _main_spread(left: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of what a motif leaves of its members (N, K): how much of its square a split would take off,
    above what noise alone shows, and one standard deviation along the main direction (K,)."""
    if len(left) < 3:
        return left.new_zeros(()), left.new_zeros(left.shape[1])
    _, values, directions = torch.linalg.svd(left, full_matrices=False)
    gain = values[0].square() - values[1].square()
    return gain, directions[0] * values[0] / np.sqrt(len(left))


def _one_pass(mixture: Mixture, c, laid, heat: float, allowed) -> Mixture:
    """Posterior of motif and turn, and the mixture that fits it best."""
    turns, norms = mixture.turns, c.square().sum(-1)
    logits = mixture.logits(laid)
    if allowed is not None:
        logits = logits.masked_fill(~allowed[:, :, None], -torch.inf)
    top = logits.flatten(1).amax(1)
    weight = ((logits - top[:, None, None]) / heat).clamp_min(NOTHING).exp()
    total = weight.flatten(1).sum(1)
    constant = np.log(turns.size) + c.shape[1] / 2 * np.log(2 * np.pi * float(mixture.variance))
    evidence = (top + total.log() - norms / (2 * mixture.variance)).mean() - constant
    weight /= total[:, None, None]
    of_motif = weight.sum((0, 2))
    sums = turns.gather(turns.turned_back(laid, weight))
    motifs = sums / of_motif.clamp_min(1e-3)[:, None]
    misfit = norms.sum() - 2 * (sums * motifs).sum() + (of_motif * motifs.square().sum(-1)).sum()
    log_share = (of_motif / len(c)).clamp_min(SMALLEST_SHARE).log()
    variance = float((misfit / c.numel()).clamp_min(1e-6))
    return Mixture(turns, motifs, log_share, variance, float(evidence))


def best_turns(mixture: Mixture, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest motif (N,) of each sub-image (N, K) and its turn (N,), between grid points."""
    motif, turn = [], []
    for part in c.split(PART):
        logits = mixture.logits(mixture.turns.lay(part))
        best = logits.amax(2).argmax(1)
        on_grid = logits[torch.arange(len(part)), best]
        motif.append(best)
        turn.append(top_of(on_grid, on_grid.argmax(1)))
    return torch.cat(motif), torch.cat(turn)


def top_of(on_grid: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Angle (N,) of the parabola through grid point `index` (N,) of each row and those beside."""
    size, rows = on_grid.shape[1], torch.arange(len(on_grid), device=on_grid.device)
    before, here, after = (on_grid[rows, (index + step) % size] for step in (-1, 0, 1))
    bend = (2 * here - before - after).clamp_min(1e-20)
    return (index + ((after - before) / (2 * bend)).clamp(-0.5, 0.5)) * (2 * np.pi / size)


def refined(mixture: Mixture, c: torch.Tensor) -> Mixture:
    """The motifs as means of all sub-images (N, K), each turned back by its likeliest turn."""
    motif, turn = best_turns(mixture, c)
    upright = mixture.turns.rotate(c, -turn)
    number = torch.bincount(motif, minlength=len(mixture)).to(c.dtype)

    def mean_of(values: torch.Tensor) -> torch.Tensor:
        sums = torch.zeros_like(mixture.motifs).index_add(0, motif, values)
        return sums / number.clamp_min(1)[:, None]

    motifs = torch.where(number[:, None] > 0, mean_of(upright), mixture.motifs)
    squares = (upright - motifs[motif]).square()
    return replace(
        mixture,
        motifs=motifs,
        log_share=(number / len(c)).clamp_min(SMALLEST_SHARE).log(),
        variance=float(squares.mean()),
        number=number,
        misfit=mean_of(squares),
    )


def chosen(mixture: Mixture, pieces: torch.Tensor) -> Mixture:
    """The mixture of some of its motifs, (J,) bool."""
    share = mixture.log_share[pieces]
    return replace(
        mixture,
        motifs=mixture.motifs[pieces],
        log_share=share - torch.logsumexp(share, 0),
        number=mixture.number[pieces],
        misfit=mixture.misfit[pieces],
    )
