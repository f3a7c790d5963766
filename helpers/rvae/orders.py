"""Modulo what an angle is known: what two judges who saw different sub-images agree on.

A motif learnt from noisy sub-images is never quite symmetric. Each sub-image then seems to prefer
one of its turns, and a single model cannot tell whether this is the crystal or its own noise. Two
mixtures of motifs, fitted to sub-images that they do not share, can: what is the crystal, both see.
"""

import numpy as np
import torch

from .mixture import likeliest_motif
from .noise import WELL_FITTED
from .posterior import NOTHING
from .turns import PART, log_sum, top_of

ORDERS = (1, 2, 3, 4, 6)  # of a pattern in the plane
AGREE_RAD = np.radians(10)
AGREE_SHARE = 0.98
SURE_RAD = np.radians(10)
SURE = 0.99  # of the posterior lies within it: a sub-image that is sure
SURE_SHARE = 0.8  # of the sub-images of a kind must be sure of an angle, for it to be called known
LEAST_SURE = 0.05  # … or, where there is no such order, this share


@torch.no_grad()
def orders_of(pieces, judges: list, c: torch.Tensor) -> np.ndarray:
    """The order (n,) of each kind; 0 where no turn is known.

    It is the smallest n modulo 2 pi / n of which most sub-images are sure and both judges agree on
    nearly all that are.

    Parameters
    ----------
    pieces : Pieces
        Tell the kind of a sub-image.
    judges : list of pairs of Pieces, whose motifs stand as those of `pieces`
        The two of a pair have seen different sub-images.
    c : (N, K)
    """
    kinds = [pieces.of_kinds(part).argmax(1) for part in c.split(PART)]
    kind = _on_host(kinds)
    verdicts = []
    for one, other in judges:
        first = _verdict(one, c)
        second = _verdict(other, c)
        verdicts.append((first, second))

    count = len(pieces.names)
    found = np.zeros(count, int)
    for number in range(count):
        shares = _shares(verdicts, kind == number)
        found[number] = _smallest(shares)
    return found


def _shares(verdicts: list, here: np.ndarray) -> list[tuple[float, float]]:
    """Of the sub-images `here` (N,) bool that are judged, the share that is sure, and of these the
    share that agrees, for each order."""
    shares = []
    for column in range(len(ORDERS)):
        counts = [_agreement(one, other, here, column) for one, other in verdicts]
        judged, sure, agreed = np.sum(counts, axis=0)
        share_sure = sure / max(judged, 1)
        share_agreeing = agreed / max(sure, 1)
        shares.append((share_sure, share_agreeing))
    return shares


def _smallest(shares: list[tuple[float, float]]) -> int:
    """The smallest order of which enough are sure and agree; 0 if there is none."""
    for wanted in (SURE_SHARE, LEAST_SURE):
        for order, (sure, agreed) in zip(ORDERS, shares, strict=True):
            is_sure = sure >= wanted
            is_agreed = agreed >= AGREE_SHARE
            if is_sure and is_agreed:
                return order
    return 0


def _agreement(one, other, here: np.ndarray, column: int) -> tuple[int, int, float]:
    """Of the sub-images `here` (N,) bool: how many are judged, of how many both judges are sure
    modulo the order, and of how many they agree."""
    one_turn, one_doubt, one_misfit = one
    other_turn, other_doubt, other_misfit = other

    # A window that shows two grains has no one turn.
    for misfit in (one_misfit, other_misfit):
        usual = np.median(misfit[here])
        is_fitted = misfit <= WELL_FITTED * usual
        here = here & is_fitted
    judged = here.sum()

    one_is_sure = one_doubt[:, column] < 1 - SURE
    other_is_sure = other_doubt[:, column] < 1 - SURE
    is_sure = here & one_is_sure & other_is_sure
    if not is_sure.any():
        return judged, 0, 0.0
    sure = is_sure.sum()
    apart = one_turn[is_sure] - other_turn[is_sure]
    agreed = sure * share_agreed(apart, ORDERS[column])
    return judged, sure, agreed


def _verdict(judge, c: torch.Tensor) -> tuple[np.ndarray, ...]:
    """Turn (N,) of each sub-image; how probable it is that it is another one, modulo 2 pi / n, for
    each of the orders n (N, O); and what the motif leaves of it (N,)."""
    turns = []
    doubts = []
    misfits = []
    for part in c.split(PART):
        turn, doubt, misfit = _verdict_of(judge.mixture, part)
        turns.append(turn)
        doubts.append(doubt)
        misfits.append(misfit)
    turn = _on_host(turns)
    doubt = _on_host(doubts)
    misfit = _on_host(misfits)
    return turn, doubt, misfit


def _verdict_of(mixture, part: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """As `_verdict`, of so many sub-images as may be held at a time."""
    laid = mixture.turns.lay(part)
    logits = mixture.logits(laid)
    best, of_best = likeliest_motif(logits)
    turn = top_of(of_best, of_best.argmax(1))

    # The posterior over the turns, whatever the motif.
    on_grid = log_sum(logits.movedim(1, -1))
    level = log_sum(on_grid)
    weight = on_grid - level[:, None]
    weight = weight.clamp_min(NOTHING)
    weight = weight.exp()
    away = mixture.turns.grid - turn[:, None]
    doubt = [_doubt(weight, away, order) for order in ORDERS]

    overlap = of_best.amax(1) - mixture.log_share[best]
    explained = 2 * mixture.variance * overlap
    squares = part.square()
    misfit = squares.sum(1) - explained
    doubt = torch.stack(doubt, 1)
    return turn, doubt, misfit


def _doubt(weight: torch.Tensor, away: torch.Tensor, order: int) -> torch.Tensor:
    """How much of a posterior (N, A) is at other turns (N,), modulo 2 pi / order."""
    folded = _folded(away, order)
    is_other = folded.abs() > SURE_RAD
    elsewhere = weight * is_other
    return elsewhere.sum(1)


def _folded(angle: torch.Tensor, order: int) -> torch.Tensor:
    period = 2 * np.pi / order
    from_zero = torch.remainder(angle + period / 2, period)
    return from_zero - period / 2


def _on_host(parts: list[torch.Tensor]) -> np.ndarray:
    """One array of the tensors of all parts."""
    values = torch.cat(parts)
    return values.cpu().numpy()


def share_agreed(apart: np.ndarray, order: int, within_rad: float = AGREE_RAD) -> float:
    """Largest share of differences (N,) that are one angle, modulo 2 pi / order."""
    period = 2 * np.pi / order
    folded = np.mod(apart, period)
    on_circle = np.sort(folded)
    twice = np.concatenate([on_circle, on_circle + period])

    # How many differences lie within the window that begins at each of them.
    count = len(apart)
    first = np.arange(count)
    end = np.searchsorted(twice, on_circle + 2 * within_rad, side="right")
    inside = end - first
    share = inside.max() / count
    return float(share)
