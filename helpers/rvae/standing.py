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

from .mixture import Mixture, Turns, best_turns

STARTS = 4  # sub-images from whose own pattern the search starts
HOTTEST = 8.0  # the posterior over the turns is first raised to the power 1 / 8
COOLING, SETTLING = 10, 30  # passes
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
    turns, motifs = mixture.turns, mixture.motifs.clone()
    motif, turn = best_turns(mixture, c)
    upright = turns.rotate(c, -turn)
    for number in np.flatnonzero(order > 1):
        members = upright[kind[motif] == number]
        if len(members):
            breaks = breaks_order(turns, int(order[number]))
            pattern = breaking_pattern(members, turns, int(order[number]))
            of_kind = (kind == number)[:, None]
            motifs = torch.where(of_kind & breaks, pattern, motifs)
    return replace(mixture, motifs=motifs)


def breaks_order(turns: Turns, order: int) -> torch.Tensor:
    """Which coefficients (K,) bool change by a turn of 2 pi / order."""
    angular = torch.cat([turns.order, turns.order[turns.still :]])
    return angular % order != 0


def breaking_pattern(upright: torch.Tensor, turns: Turns, order: int) -> torch.Tensor:
    """What sub-images (N, K), each turned by a multiple of 2 pi / order, have in common.

    Only the coefficients that break the order are read; the others of the pattern (K,) are zero.
    Of several starts the one that explains most is kept.
    """
    breaks = breaks_order(turns, order)
    left = upright * breaks
    first = np.linspace(0, len(left) - 1, min(STARTS, len(left))).astype(int)
    found = [_settled(left[row], left, turns, order, int(breaks.sum())) for row in first]
    return max(found, key=lambda pattern: float(pattern.square().sum()))


def _settled(pattern, left, turns: Turns, order: int, numbers: int) -> torch.Tensor:
    """The pattern (K,) at which EM over the turns stands still; `numbers` of its K may differ
    from zero."""
    steps = torch.arange(order, device=left.device) * (2 * np.pi / order)
    power = left.square().sum(1).mean()
    variance = power / numbers + LEAST_VARIANCE
    for heat in [*np.geomspace(HOTTEST, 1, COOLING), *[1.0] * SETTLING]:
        turned = turns.rotate(pattern.repeat(order, 1), -steps)
        weight = torch.softmax(left @ turned.T / (heat * variance), dim=1)
        pattern = turns.rotate(weight.T @ left, steps).sum(0) / len(left)
        variance = (power - pattern.square().sum()).clamp_min(0) / numbers + LEAST_VARIANCE
    return pattern
