"""From the pieces of a mixture to kinds: motifs that are alike lie in a chain, and stand up alike.

The pieces into which a wedge of thickness or a strain splits one kind are alike to a few parts in a
hundred; motifs of two sites are not alike.
"""

from dataclasses import replace

import numpy as np
import torch
from scipy.cluster import hierarchy

from ..subimages.harmonics import DiskHarmonics
from .mixture import Mixture, best_turns
from .turns import top_of

CLOSEST = 0.06  # unlikeness, at the least, at which two pieces may be two kinds
FARTHEST = 0.18  # unlikeness, at the most, at which they may be one
A_GAP = 4.0  # spreads of the members, in half of the way to another motif: it is empty
WIDEST = 0.3  # unlikeness that is never a step from piece to piece
CHAIN = 4.0  # times the usual step from piece to piece: farther apart are two kinds
LEAST_COHERENCE = 0.85  # of a kind: share of its members' power that its motif explains
FINEST = 0.8  # of the frequencies: what lies above is noise
FEWEST = 8  # members that make a motif
LEAST_SHARE = 0.004  # of the sub-images that make a motif
LEAST_SIGNAL = 0.02  # of a motif's power: noise is taken off down to this share


def coherent(mixture: Mixture, basis: DiskHarmonics) -> torch.Tensor:
    """Which motifs (J,) have members alike; those that straddle a boundary have not.

    What a motif leaves of its members at the highest frequencies is noise. Where it leaves more at
    the lower ones, members differ from each other.
    """
    is_fine = _fine(basis)
    is_coarse = ~is_fine
    is_coarse[0] = False  # brightness may differ
    misfit = mixture.misfit.cpu()
    noise = misfit[:, is_fine].mean(1, keepdim=True)
    excess = (misfit[:, is_coarse] - noise).sum(1)
    excess = excess.clamp_min(0)

    squares = mixture.motifs[:, 1:].square()
    power = squares.sum(1).cpu()
    total = power + excess
    total = total.clamp_min(1e-12)
    coherence = power / total

    number = mixture.number.cpu()
    total_number = float(number.sum())
    enough = max(FEWEST, LEAST_SHARE * total_number)
    is_rare = number < enough
    coherence[is_rare] = 0
    most = float(coherence.max())
    return coherence >= min(LEAST_COHERENCE, most)


def _fine(basis: DiskHarmonics) -> torch.Tensor:
    """Which coefficients (K,) bool show noise alone."""
    frequency = torch.as_tensor(basis.frequency)
    finest = torch.quantile(frequency, FINEST)
    return frequency >= finest


def unlikeness(one: Mixture, other: Mixture) -> tuple[torch.Tensor, torch.Tensor]:
    """One less the correlation (I, J) of the motifs of two mixtures at the best turn, and the turn
    that lays those of the other onto those of the one.

    Mean brightness is left out, gain does not count, and the noise of the motifs is taken off.
    """
    one_laid, one_signal = _without_brightness(one)
    other_laid, other_signal = _without_brightness(other)
    on_grid = one.turns.overlaps(one_laid, other_laid)
    length = (one_signal[:, None] * other_signal).sqrt()
    correlation = on_grid.amax(-1) / length

    by_pair = on_grid.flatten(0, 1)
    likeliest = by_pair.argmax(1)
    turn = top_of(by_pair, likeliest)
    turn = turn.view_as(correlation)
    apart = 1 - correlation
    apart = apart.clamp_min(0)
    return apart, turn


def _without_brightness(mixture: Mixture) -> tuple[torch.Tensor, torch.Tensor]:
    """The motifs, laid out, without their mean brightness, and their power (J,) without noise."""
    g = mixture.motifs.clone()
    g[:, 0] = 0
    squares = g.square()
    power = squares.sum(-1)
    members = mixture.number.clamp_min(1)
    noise = mixture.misfit[:, 1:].sum(-1) / members
    least = LEAST_SIGNAL * power
    signal = power - noise
    signal = signal.clamp_min(least)
    signal = signal.clamp_min(1e-12)
    laid = mixture.turns.lay(g)
    return laid, signal


def put_together(mixture: Mixture, basis: DiskHarmonics, c: torch.Tensor, owner) -> tuple:
    """The motifs stood up alike along the chains of likeness, the kind (J,) of each, and which name
    each kind has (-1: none), from sub-images (N, K). The commonest kind comes first."""
    apart, turn = unlikeness(mixture, mixture)
    apart = (apart + apart.T) / 2
    gap = _gap(mixture, basis, c, turn)
    step = _steps(apart, gap).cpu()
    group = _groups(step.numpy(), owner)
    kind, named = _commonest_first(group, mixture, owner)

    # From the commonest motif on.
    first = int(mixture.log_share.argmax())
    apart = apart.cpu()
    turn = turn.cpu()
    up = _along_the_chain(apart, turn, first)
    device = mixture.motifs.device
    up = up.to(device)
    motifs = mixture.turns.rotate(mixture.motifs, up)
    stood_up = replace(mixture, motifs=motifs)
    kind = torch.as_tensor(kind, device=device)
    return stood_up, kind, named


def _commonest_first(group: np.ndarray, mixture: Mixture, owner) -> tuple[np.ndarray, list]:
    """The kind (J,) that each group of motifs is, and which name each kind has (-1: none)."""
    motif_share = mixture.log_share.exp().cpu()
    share = np.bincount(group, weights=motif_share.numpy())
    commonest_first = np.argsort(-share)
    rank = np.argsort(commonest_first)
    kind = rank[group]

    count = len(share)
    named = []
    for number in range(count):
        is_of_kind = kind == number
        name = owner[is_of_kind].max()
        named.append(int(name))
    return kind, named


def _steps(apart: torch.Tensor, gap: torch.Tensor) -> torch.Tensor:
    """Unlikeness (J, J), and next to none where members fill the way from motif to motif."""
    is_filled = gap < A_GAP
    filled = apart.clamp_max(CLOSEST)
    step = torch.where(is_filled, filled, apart)
    is_near = apart < WIDEST
    return torch.where(is_near, step, apart)


def _gap(mixture: Mixture, basis: DiskHarmonics, c, turn) -> torch.Tensor:
    """How empty the way (J, J) from motif to motif is: half of it, over the spread along it that
    the members of the one and of the other have, noise apart; the emptier half counts.

    Where one kind changes gradually and is cut into pieces, their members fill the way: half of it
    is 3^(1/2) = 1.7 times each spread. Between two sites it is many times that, for one of them at
    least: a motif that serves both has members on both sides, but fills the way alone.
    """
    count = len(mixture)
    motif, upright_by = best_turns(mixture, c)
    left = mixture.turns.rotate(c, -upright_by) - mixture.motifs[motif]

    # The way from each motif to each other one, which is turned onto it.
    repeated = mixture.motifs.repeat(count, 1)
    turn_of_pair = turn.flatten()
    turned = mixture.turns.rotate(repeated, turn_of_pair)
    by_pair = turned.view(count, count, -1)
    way = by_pair - mixture.motifs[:, None]
    way[..., 0] = 0  # brightness may differ
    length = way.norm(dim=2)
    divisor = length.clamp_min(1e-9)
    along = way / divisor[..., None]

    is_fine = _fine(basis)
    noise = mixture.misfit[:, is_fine].mean(1)
    spread = torch.zeros_like(length)
    for j in range(count):
        is_member = motif == j
        members = left[is_member] @ along[j].T
        squares = members.square()
        variance = squares.mean(0) - noise[j]
        variance = variance.clamp_min(0)
        spread[j] = variance.sqrt()
    narrower = torch.minimum(spread, spread.T)
    narrower = narrower.clamp_min(1e-9)
    return (length + length.T) / 4 / narrower


def _groups(apart: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Number (J,) of the group of each motif: chains of motifs that are alike.

    Motifs of one name are one group, and others join the nearest name that is near enough.
    """
    count = len(apart)
    if count == 1:
        return np.zeros(1, int)
    pairs = np.triu_indices(count, 1)
    chain = hierarchy.linkage(apart[pairs], "single")
    usual_step = np.median(chain[:, 2])
    limit = np.clip(CHAIN * usual_step, CLOSEST, FARTHEST)
    limit = float(limit)

    # Groups are counted from 1: none of them gets the number of a name.
    group = hierarchy.fcluster(chain, limit, "distance")
    group = group + owner.max(initial=-1)
    _join_names(group, apart, owner, limit)
    _, numbers = np.unique(group, return_inverse=True)
    return numbers


def _join_names(group: np.ndarray, apart: np.ndarray, owner: np.ndarray, limit: float) -> None:
    """Give motifs that have a name, and those that are near one, its number as their group."""
    named = np.flatnonzero(owner >= 0)
    unnamed = np.flatnonzero(owner < 0)
    if len(named) == 0:
        return
    group[named] = owner[named]
    for motif in unnamed:
        to_named = apart[motif, named]
        nearest = named[np.argmin(to_named)]
        if apart[motif, nearest] < limit:
            group[motif] = owner[nearest]


def _along_the_chain(apart: torch.Tensor, turn: torch.Tensor, first: int) -> torch.Tensor:
    """Turn (J,) that makes each motif stand as the most alike one that stands already."""
    count = len(apart)
    up = torch.zeros(count)
    standing = [first]
    left = set(range(count))
    left.remove(first)
    while left:
        pairs = []
        for i in standing:
            for j in sorted(left):
                unlike = float(apart[i, j])
                pairs.append((unlike, i, j))
        _, i, j = min(pairs)
        up[j] = up[i] + turn[i, j]
        standing.append(j)
        left.remove(j)
    return up
