"""A mixture fitted to sub-images by expectation and maximisation (EM), from several starts."""

from dataclasses import replace

import numpy as np
import torch

from .mixture import SMALLEST_SHARE, Mixture, best_turns, log_constant
from .posterior import NOTHING
from .turns import Turns

FEW = 400  # sub-images of which none is spared
FIRST_PASSES = 6  # of a start
PASSES = 12  # of the likeliest of the starts
HOTTEST = 4.0  # at first the posterior is this much wider, so that motifs may change places
MOST_PASSES = 50
STANDSTILL = 5e-4  # nats: the evidence grows by less a pass
MOST_MOVES = 3  # of a motif from where there are two of a kind to where one serves two
PAYS = 4.0  # times what making two motifs one costs must be gained where one is split


def fit_mixture(
    c: torch.Tensor,
    turns: Turns,
    count: int,
    *,
    starts: int,
    rng,
    owner=None,
    known=None,
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
        owner = np.full(count, -1)
        known = np.full(len(c), -1)
    allowed = allowed_motifs(owner, known, c.device)
    is_half_enough = len(c) >= FEW and allowed is None  # of the known ones none can be spared
    some = slice(None, None, 2 if is_half_enough else 1)
    few = c[some]
    laid = turns.lay(c)

    tries = []
    for _ in range(starts):
        first = _first_mixture(few, turns, owner, known[some], rng)
        begun = _climb(first, few, laid[:, some], allowed, passes=FIRST_PASSES, hottest=HOTTEST)
        tries.append(begun)

    best = max(tries, key=lambda mixture: mixture.evidence)
    best = _climb(best, c, laid, allowed, passes=PASSES, hottest=HOTTEST / 2)
    if allowed is None:
        best = _dealt_better(best, c, laid)
    return best


def allowed_motifs(owner: np.ndarray, known: np.ndarray, device) -> torch.Tensor | None:
    """Which motifs (J,) a sub-image (N,) may be of, (N, J) bool: those of its name, if it is known
    by one. None where no sub-image is."""
    is_unknown = known < 0
    if is_unknown.all():
        return None
    is_of_its_name = known[:, None] == owner
    allowed = is_unknown[:, None] | is_of_its_name
    return torch.as_tensor(allowed, device=device)


def _first_mixture(c: torch.Tensor, turns: Turns, owner, known, rng) -> Mixture:
    """Motifs that are equally common, and as noisy as sub-images (N, K) differ."""
    motifs = _first_motifs(c, turns, owner, known, rng)
    count = len(owner)
    log_equal = -np.log(count)
    log_share = c.new_full((count,), log_equal)
    variance = c.var(0).mean()
    return Mixture(
        turns=turns,
        motifs=motifs,
        log_share=log_share,
        variance=float(variance),
    )


def _first_motifs(c: torch.Tensor, turns: Turns, owner, known, rng) -> torch.Tensor:
    """Sub-images (J, K) far from each other at any turn, drawn as in k-means++.

    A motif that has a name (J,) begins from a sub-image that is known by it (N,).
    """
    laid = turns.lay(c)
    norms = c.square().sum(-1)
    largest = norms.max()
    distance = torch.full_like(norms, largest)
    chosen: list[int] = []
    for name in owner:
        share = distance.double().cpu().numpy()
        if name >= 0:
            is_of_name = known == name
            share = np.where(is_of_name, share, 0)
        probability = share / share.sum()
        last = int(rng.choice(len(c), p=probability))
        chosen.append(last)

        on_grid = turns.overlaps(laid, laid[:, [last]])
        best = on_grid[:, 0].amax(-1)
        del on_grid
        to_last = norms + norms[last] - 2 * best
        to_last = to_last.clamp_min(1e-9)
        distance = torch.minimum(distance, to_last)
    return c[chosen]


def settle_mixture(mixture: Mixture, c: torch.Tensor, allowed=None) -> Mixture:
    """A mixture that goes on with sub-images (N, K) until its evidence stands still."""
    laid = mixture.turns.lay(c)
    mixture = _climb(mixture, c, laid, allowed, passes=PASSES, hottest=HOTTEST)
    for _ in range(MOST_PASSES):
        before = mixture.evidence
        mixture = _one_pass(mixture, c, laid, heat=1.0, allowed=allowed)
        if mixture.evidence < before + STANDSTILL:
            break
    return mixture


# --------------------------------------------------------------------------------- passes of EM


def _climb(mixture: Mixture, c, laid, allowed, *, passes: int, hottest: float) -> Mixture:
    """So many passes of EM; the posterior is widened at first, and less and less."""
    for number in range(passes):
        cooled = 1 - number / (0.6 * passes)
        heat = max(1.0, hottest * cooled)
        mixture = _one_pass(mixture, c, laid, heat=heat, allowed=allowed)
    return mixture


def _one_pass(mixture: Mixture, c, laid, *, heat: float, allowed) -> Mixture:
    """Posterior of motif and turn, and the mixture that fits it best."""
    turns = mixture.turns
    norms = c.square().sum(-1)

    # Expectation.
    weight, log_total = _posterior(mixture, laid, heat, allowed)
    variance = float(mixture.variance)
    constant = log_constant(turns.size, c.shape[1], variance)
    level = log_total - norms / (2 * mixture.variance)
    evidence = level.mean() - constant

    # Maximisation.
    of_motif = weight.sum((0, 2))
    upright = turns.turned_back(laid, weight)
    sums = turns.gather(upright)
    divisor = of_motif.clamp_min(1e-3)
    motifs = sums / divisor[:, None]
    squares = motifs.square()
    motif_norms = squares.sum(-1)
    overlap = (sums * motifs).sum()
    explained = (of_motif * motif_norms).sum()
    misfit = norms.sum() - 2 * overlap + explained
    mean_misfit = (misfit / c.numel()).clamp_min(1e-6)
    share = (of_motif / len(c)).clamp_min(SMALLEST_SHARE)
    return Mixture(
        turns=turns,
        motifs=motifs,
        log_share=share.log(),
        variance=float(mean_misfit),
        evidence=float(evidence),
    )


def _posterior(mixture: Mixture, laid, heat: float, allowed) -> tuple[torch.Tensor, torch.Tensor]:
    """Posterior (N, J, A) of motif and turn, and the log (N,) of what it was divided by."""
    logits = mixture.logits(laid)
    if allowed is not None:
        is_barred = ~allowed[:, :, None]
        logits = logits.masked_fill(is_barred, -torch.inf)
    top = logits.flatten(1).amax(1)
    # One name for all steps: no more than two copies of the logits are held at a time.
    weight = logits - top[:, None, None]
    weight = weight / heat
    weight = weight.clamp_min(NOTHING)
    weight = weight.exp()
    total = weight.flatten(1).sum(1)
    weight /= total[:, None, None]
    return weight, top + total.log()


# ------------------------------------------------------------------------------ split and merge


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
        moved = _climb(moved, c, laid, None, passes=FIRST_PASSES, hottest=1.0)
        if moved.evidence <= mixture.evidence:
            break
        mixture = moved
    return mixture


def _split_and_merged(mixture: Mixture, c: torch.Tensor) -> Mixture | None:
    """Two like motifs made one, and the most mixed one split; None if that would not pay."""
    count = len(mixture)
    if count < 3:
        return None
    number, gain, along = _spreads(mixture, c)
    mixed = int(gain.argmax())
    cost = _merging_costs(mixture, number)
    cost[mixed] = torch.inf
    cost[:, mixed] = torch.inf
    cheapest = int(cost.argmin())
    kept, freed = divmod(cheapest, count)
    if gain[mixed] < PAYS * cost[kept, freed]:
        return None

    motifs = mixture.motifs.clone()
    step = along[mixed]
    motifs[freed] = motifs[mixed] + step
    motifs[mixed] = motifs[mixed] - step

    share = mixture.log_share.exp()
    share[kept] += share[freed]
    share[mixed] /= 2
    share[freed] = share[mixed]
    return replace(mixture, motifs=motifs, log_share=share.log())


def _spreads(mixture: Mixture, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list]:
    """Of each motif: how many members it has, and their `_main_spread`."""
    motif, turn = best_turns(mixture, c)
    left = mixture.turns.rotate(c, -turn) - mixture.motifs[motif]
    count = len(mixture)
    number = torch.bincount(motif, minlength=count)
    number = number.to(c.dtype)

    gains = []
    steps = []
    for j in range(count):
        is_member = motif == j
        gain, step = _main_spread(left[is_member])
        gains.append(gain)
        steps.append(step)
    return number, torch.stack(gains), steps


def _main_spread(left: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of what a motif leaves of its members (N, K): how much of its square a split would take off,
    above what noise alone shows, and one standard deviation along the main direction (K,)."""
    count, numbers = left.shape
    if count < 3:
        no_gain = left.new_zeros(())
        no_step = left.new_zeros(numbers)
        return no_gain, no_step
    _, values, directions = torch.linalg.svd(left, full_matrices=False)
    largest, second = values[:2]
    gain = largest.square() - second.square()
    step = directions[0] * largest / np.sqrt(count)
    return gain, step


def _merging_costs(mixture: Mixture, number: torch.Tensor) -> torch.Tensor:
    """By how much the squares (J, J) of what is left grow if two motifs are made one."""
    laid = mixture.turns.lay(mixture.motifs)
    norms = mixture.motifs.square().sum(1)
    on_grid = mixture.turns.overlaps(laid, laid)
    best = on_grid.amax(-1)
    apart = norms[:, None] + norms - 2 * best
    apart = apart.clamp_min(0)

    together = number[:, None] + number
    together = together.clamp_min(1)
    cost = apart * number[:, None] * number / together
    cost.fill_diagonal_(torch.inf)
    return cost
