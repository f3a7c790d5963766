"""By which of its like turns a sub-image stands, where its kind is symmetric.

A kind of order n looks alike at n turns, and a mixture deals its members out over these as chance
has it. What breaks the symmetry in some of them (a vacancy, a brighter neighbour, a gradient) would
then point another way for every seed, and so would the latents that tell of it. Here all members of
a kind are dealt out anew, by EM over the n turns with a single pattern. It ends at the same pattern
whatever they were dealt out by before, and at next to none where nothing breaks the symmetry.
"""

from dataclasses import replace

import numpy as np
import torch

from .mixture import Mixture, best_turns
from .turns import Turns

STARTS = 4  # sub-images from whose own pattern the search starts
HOTTEST = 8.0  # the posterior over the turns is first raised to the power 1 / 8
COOLING = 10  # passes in which it comes down from there
SETTLING = 30  # passes after them
LEAST_VARIANCE = 1e-6  # of members that are all alike


def stand_alike(mixture: Mixture, kind: torch.Tensor, order: np.ndarray, c) -> Mixture:
    """The mixture with one pattern for each symmetric kind in what breaks its symmetry.

    Parameters
    ----------
    mixture : Mixture of J motifs, which stand up alike but for turns of 2 pi / n
    kind : (J,) int tensor
        The kind that each motif is a piece of. A piece keeps all else of its own motif.
    order : (n,) int
        Of each kind; those of order 0 and 1 stay as they are.
    c : (N, K) tensor
        Normalised coefficients of the sub-images from which the pattern is learned.
    """
    turns = mixture.turns
    motifs = mixture.motifs.clone()
    motif, turn = best_turns(mixture, c)
    upright = turns.rotate(c, -turn)
    kind_shown = kind[motif]

    symmetric = np.flatnonzero(order > 1)
    for number in symmetric:
        members = upright[kind_shown == number]
        if len(members) == 0:
            continue
        fold = int(order[number])
        breaks = breaks_order(turns, fold)
        pattern = breaking_pattern(members, turns, fold)
        is_of_kind = kind == number
        is_anew = is_of_kind[:, None] & breaks
        motifs = torch.where(is_anew, pattern, motifs)
    return replace(mixture, motifs=motifs)


def breaks_order(turns: Turns, order: int) -> torch.Tensor:
    """Which coefficients (K,) bool change by a turn of 2 pi / order."""
    of_sines = turns.order[turns.still :]
    angular = torch.cat([turns.order, of_sines])
    return angular % order != 0


def breaking_pattern(upright: torch.Tensor, turns: Turns, order: int) -> torch.Tensor:
    """What sub-images (N, K), each turned by a multiple of 2 pi / order, have in common.

    Only the coefficients that break the order are read; the others of the pattern (K,) are zero.
    Of several starts the one that explains most is kept.
    """
    breaks = breaks_order(turns, order)
    numbers = int(breaks.sum())
    left = upright * breaks
    count = len(left)
    starts = min(STARTS, count)
    rows = np.linspace(0, count - 1, starts)

    found = []
    for row in rows.astype(int):
        pattern = _settled(left[row], left, turns, order, numbers)
        found.append(pattern)
    return max(found, key=_power)


def _power(pattern: torch.Tensor) -> float:
    """The squared length of a pattern (K,)."""
    squares = pattern.square()
    return float(squares.sum())


def _settled(pattern, left, turns: Turns, order: int, numbers: int) -> torch.Tensor:
    """The pattern (K,) at which EM over the turns stands still; `numbers` of its K may differ
    from zero."""
    count = len(left)
    period_rad = 2 * np.pi / order
    steps = torch.arange(order, device=left.device) * period_rad
    norms = left.square().sum(1)
    power = norms.mean()
    variance = power / numbers + LEAST_VARIANCE

    cooling = np.geomspace(HOTTEST, 1, COOLING)
    settling = [1.0] * SETTLING
    for heat in [*cooling, *settling]:
        # Expectation: by which of the like turns each sub-image stands.
        like = pattern.repeat(order, 1)
        turned = turns.rotate(like, -steps)
        logits = left @ turned.T / (heat * variance)
        weight = torch.softmax(logits, dim=1)

        # Maximisation: the mean of the sub-images, turned back.
        sums = weight.T @ left
        upright = turns.rotate(sums, steps)
        pattern = upright.sum(0) / count
        unexplained = power - pattern.square().sum()
        unexplained = unexplained.clamp_min(0)
        variance = unexplained / numbers + LEAST_VARIANCE
    return pattern
