"""Modulo what an angle is known: what two judges who saw different sub-images agree on.

A motif learnt from noisy sub-images is never quite symmetric. Each sub-image then seems to prefer
one of its turns, and a single model cannot tell whether this is the crystal or its own noise. Two
mixtures of motifs, fitted to sub-images that they do not share, can: what is the crystal, both see.
"""

import numpy as np
import torch

from .mixture import PART, log_sum, top_of
from .noise import WELL_FITTED
from .posterior import NOTHING

ORDERS = (1, 2, 3, 4, 6)  # of a pattern in the plane
AGREE_RAD, AGREE_SHARE = np.radians(10), 0.98
SURE_RAD, SURE = np.radians(10), 0.99  # of the posterior lies within it: a sub-image that is sure
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
    kind = torch.cat([_kind_of(pieces, part) for part in c.split(PART)]).cpu().numpy()
    pairs = [[_verdict(judge, c) for judge in pair] for pair in judges]
    found = np.zeros(len(pieces.names), int)
    for number in range(len(found)):
        shares = []  # of the judged that are sure, and of those that agree, for each order
        for column in range(len(ORDERS)):
            counts = [_agreement(*pair, kind == number, column) for pair in pairs]
            judged, sure, agreed = np.sum(counts, axis=0)
            shares.append((sure / max(judged, 1), agreed / max(sure, 1)))
        found[number] = _smallest(shares)
    return found


def _smallest(shares: list[tuple[float, float]]) -> int:
    """The smallest order of which enough are sure and agree; 0 if there is none."""
    for wanted in (SURE_SHARE, LEAST_SURE):
        for order, (sure, agreed) in zip(ORDERS, shares, strict=True):
            if sure >= wanted and agreed >= AGREE_SHARE:
                return order
    return 0


def _agreement(one, other, here: np.ndarray, column: int) -> tuple[int, int, float]:
    """Of the sub-images `here` (N,) bool: how many are judged, of how many both judges are sure
    modulo the order, and of how many they agree."""
    for _, _, misfit in (one, other):  # a window that shows two grains has no one turn
        here = here & (misfit <= WELL_FITTED * np.median(misfit[here]))
    sure = here & (one[1][:, column] < 1 - SURE) & (other[1][:, column] < 1 - SURE)
    if not sure.any():
        return here.sum(), 0, 0.0
    apart = one[0][sure] - other[0][sure]
    return here.sum(), sure.sum(), sure.sum() * share_agreed(apart, ORDERS[column])


def _kind_of(pieces, part: torch.Tensor) -> torch.Tensor:
    return log_sum(pieces.of_kinds(pieces.mixture.turns.lay(part))).argmax(1)


def _verdict(judge, c: torch.Tensor) -> tuple[np.ndarray, ...]:
    """Turn (N,) of each sub-image; how probable it is that it is another one, modulo 2 pi / n, for
    each of the orders n (N, O); and what the motif leaves of it (N,)."""
    turns, doubts, misfits = [], [], []
    mixture = judge.mixture
    for part in c.split(PART):
        logits = mixture.logits(mixture.turns.lay(part))
        best = logits.amax(2).argmax(1)
        of_best = logits[torch.arange(len(part)), best]
        turn = top_of(of_best, of_best.argmax(1))
        on_grid = log_sum(logits.movedim(1, -1))
        weight = (on_grid - log_sum(on_grid)[:, None]).clamp_min(NOTHING).exp()
        away = mixture.turns.grid - turn[:, None]
        doubt = [(weight * (_folded(away, order).abs() > SURE_RAD)).sum(1) for order in ORDERS]
        explained = 2 * mixture.variance * (of_best.amax(1) - mixture.log_share[best])
        turns.append(turn)
        doubts.append(torch.stack(doubt, 1))
        misfits.append(part.square().sum(1) - explained)
    return tuple(torch.cat(values).cpu().numpy() for values in (turns, doubts, misfits))


def _folded(angle: torch.Tensor, order: int) -> torch.Tensor:
    period = 2 * np.pi / order
    return torch.remainder(angle + period / 2, period) - period / 2


def share_agreed(apart: np.ndarray, order: int, within_rad: float = AGREE_RAD) -> float:
    """Largest share of differences (N,) that are one angle, modulo 2 pi / order."""
    period = 2 * np.pi / order
    on_circle = np.sort(np.mod(apart, period))
    twice = np.concatenate([on_circle, on_circle + period])
    end = np.searchsorted(twice, on_circle + 2 * within_rad, side="right")
    return float((end - np.arange(len(apart))).max() / len(apart))
