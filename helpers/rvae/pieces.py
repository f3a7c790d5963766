"""Motifs of a mixture, put together into kinds and stood up alike.

A mixture of more motifs than there are kinds is fitted (`helpers.rvae.mixture`). The pieces into
which a wedge of thickness or a strain splits one kind are alike to a few parts in a hundred and lie
in a chain; motifs of two sites are not alike. So pieces are put together as far as the chain goes,
and stood up alike along it. What is not coherent (boundaries, windows that show two grains) is no
kind. Two mixtures of different halves of the sub-images tell what is known: an angle on which they
agree modulo 2 pi / n alone is known modulo 2 pi / n. By which of these n turns a sub-image stands,
one pattern decides for all pieces of a kind (`helpers.rvae.standing`).
"""

from dataclasses import dataclass, replace
from statistics import multimode

import numpy as np
import torch
from scipy.cluster import hierarchy

from ..subimages.harmonics import DiskHarmonics
from .mixture import (
    Mixture,
    Turns,
    allowed_motifs,
    best_turns,
    chosen,
    fit_mixture,
    log_sum,
    refined,
    settle_mixture,
    top_of,
)
from .orders import orders_of
from .standing import stand_alike

MIN_SUBIMAGES = 16
MOST_PIECES = 12
A_PIECE = 40  # sub-images, at least, for a motif of its own
PART_FITTED = 800  # sub-images of each of the two mixtures
STARTS = 2
DIVISIONS, DIVIDED = (2, 8), 6400  # of the sub-images into halves; how many are fitted so in all
FINALISTS = 6400  # sub-images fitted, all of a few at once, to settle the likeliest mixtures
REFINED_ON = 8192  # sub-images that the motifs are means of
JUDGED_ON = 3200  # sub-images that the orders are read from
LEAST_GAIN = 0.5  # nats a sub-image not fitted: less, and the stack is noise
CLOSEST, FARTHEST = 0.06, 0.18  # unlikeness at which two pieces may be two kinds
A_GAP = 4.0  # spreads of the members, in half of the way to another motif: it is empty
WIDEST = 0.3  # unlikeness that is never a step from piece to piece
CHAIN = 4.0  # times the usual step from piece to piece: farther apart are two kinds
LEAST_COHERENCE = 0.85  # of a kind: share of its members' power that its motif explains
FINEST = 0.8  # of the frequencies: what lies above is noise
FEWEST, LEAST_SHARE = 8, 0.004  # members that make a motif
LEAST_SIGNAL = 0.02  # of a motif's power: noise is taken off down to this share


@dataclass(frozen=True)
class Pieces:
    """Motifs that stand up alike, and the kind each is a piece of.

    Attributes
    ----------
    basis : DiskHarmonics
    mixture : Mixture of J motifs
    kind : (J,) int tensor
    names : list of str, one a kind; none where the stack is noise, whose one piece is of kind 0.
    order : (n,) int
    """

    basis: DiskHarmonics
    mixture: Mixture
    kind: torch.Tensor
    names: list
    order: np.ndarray

    @property
    def count(self) -> int:
        """How many kinds the pieces are of; 1 for noise, which has no name."""
        return int(self.kind.max()) + 1

    def order_of(self, kind: np.ndarray) -> np.ndarray:
        """Order (M,) of sub-images of kinds (M,); 0 where there is none."""
        return self.order[kind] if len(self.order) else np.zeros(len(kind), int)

    def middle(self) -> torch.Tensor:
        """The mean motif (n, K) of each kind."""
        share = self.mixture.log_share.exp()[:, None]
        sums = self.mixture.motifs.new_zeros(self.count, len(self.basis))
        sums = sums.index_add(0, self.kind, share * self.mixture.motifs)
        return sums / sums.new_zeros(self.count, 1).index_add(0, self.kind, share)

    def nearest(self, g: torch.Tensor) -> torch.Tensor:
        """The piece (N,) that is nearest to each of the upright motifs g (N, K)."""
        return torch.cdist(g, self.mixture.motifs).argmin(1)

    def of_kinds(self, laid: torch.Tensor) -> torch.Tensor:
        """log of kind and turn (N, n, A), up to what depends on neither, of laid-out data."""
        logits = self.mixture.logits(laid)
        pieces = [logits[:, self.kind == kind] for kind in range(self.count)]
        return torch.stack([log_sum(of_kind.movedim(1, -1)) for of_kind in pieces], dim=1)

    def upright(self, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sub-images (N, K), turned back to where the likeliest motif stands; its kind (N,)."""
        motif, turn = best_turns(self.mixture, c)
        return self.mixture.turns.rotate(c, -turn), self.kind[motif]

    def ways(self, c: torch.Tensor, count: int) -> torch.Tensor:
        """The `count` likeliest turns (N, count) of each sub-image (N, K), whatever its kind.

        Each is a maximum over the circle of the posterior.
        """
        logits = self.mixture.logits(self.mixture.turns.lay(c))  # (N, J, A)
        on_grid = log_sum(logits.movedim(1, -1))
        top = (on_grid >= on_grid.roll(1, -1)) & (on_grid > on_grid.roll(-1, -1))
        height = torch.where(top, on_grid, on_grid - 1e6)
        best = height.topk(count, dim=1).indices
        return torch.stack([top_of(on_grid, index) for index in best.T], dim=1)

    def to(self, device) -> "Pieces":
        """The same on another device."""
        mixture = self.mixture
        moved = {"motifs": mixture.motifs.to(device), "log_share": mixture.log_share.to(device)}
        mixture = replace(mixture, turns=Turns(self.basis, device), **moved)
        return replace(self, mixture=mixture, kind=self.kind.to(device))


def require_enough(count: int) -> None:
    """A ValueError unless there are sub-images enough to learn a motif from."""
    if count < MIN_SUBIMAGES:
        raise ValueError(
            f"{count} sub-images, but at least {MIN_SUBIMAGES} are needed to learn a motif: "
            "use a larger image or a smaller window"
        )


@torch.no_grad()
def find_pieces(c: torch.Tensor, basis: DiskHarmonics, *, seed: int, known=None) -> Pieces:
    """The pieces of normalised coefficients (M, K); see the head of this module."""
    rng = np.random.default_rng(seed)
    turns = Turns(basis, c.device)
    names, label = _labels(known, len(c))
    half = min(PART_FITTED, len(c) // 2)
    count = int(np.clip(half // A_PIECE, max(1, len(names)), MOST_PIECES))
    owner = np.full(count, -1)
    if names:
        each = max(1, count // (2 * len(names)))
        owner[: each * len(names)] = np.repeat(np.arange(len(names)), each)
    tries = []
    for _ in range(int(np.clip(DIVIDED // len(c), *DIVISIONS))):
        tries += _two_tries(c, turns, _halves(label, half, rng), owner, label, rng)
    rows = rng.permutation(len(c))[:REFINED_ON]
    some = c[rows]
    if max(one.gain for one in tries) < LEAST_GAIN:
        return _nothing(basis, turns, some)
    whole, kind, named = _usual(tries, some, basis, owner, label[rows])
    kinds = [names[n] if n >= 0 else f"kind {i + 1}" for i, n in enumerate(named)]
    pieces = Pieces(basis, whole, kind, kinds, np.ones(len(kinds), int))
    stood = [_standing_as(chosen(t.refined, coherent(t.refined, basis)), pieces) for t in tries]
    judges = list(zip(stood[::2], stood[1::2], strict=True))
    order = orders_of(pieces, judges, some[:JUDGED_ON])
    return replace(pieces, order=order, mixture=stand_alike(whole, kind, order, some))


@dataclass(frozen=True)
class _Try:
    """A mixture, the sub-images (N, K) it was fitted to, and what it is worth.

    Attributes
    ----------
    refined : Mixture
        On its own sub-images.
    gain : float
        Nats by which it explains a sub-image of its partner better than nothing does.
    """

    mixture: Mixture
    c: torch.Tensor
    refined: Mixture
    gain: float

    @classmethod
    def of(cls, mixture: Mixture, c: torch.Tensor, held: torch.Tensor) -> "_Try":
        gain = mixture.mean_evidence(held) - _evidence_of_nothing(c, held)
        return cls(mixture, c, refined(mixture, c), gain)


def _two_tries(c, turns: Turns, halves: list, owner, label, rng) -> list:
    """Two mixtures of sub-images (N, K) that share none."""
    fitted = []
    for part in halves:
        tied = {"owner": owner, "known": label[part]}
        fitted.append(fit_mixture(c[part], turns, len(owner), starts=STARTS, rng=rng, **tied))
    one, other = (c[part] for part in halves)
    return [_Try.of(fitted[0], one, other), _Try.of(fitted[1], other, one)]


def _usual(tries: list, c: torch.Tensor, basis: DiskHarmonics, owner, label) -> tuple:
    """The motifs, their kinds and names as `_together` gives them, of the likeliest mixture that
    has as many kinds as most have.

    One fit in some is dealt out badly, and a chain may then break, or bridge a gap. Of two numbers
    that are found as often the smaller counts: most must have seen a kind. Of a few sub-images
    (N, K), known by names (N,), the likeliest mixtures are fitted to all before one is chosen:
    fitted to half of them, they would not stand them up alike.
    """

    def together(mixture: Mixture, c: torch.Tensor) -> tuple:
        kept = coherent(mixture, basis)
        return _together(chosen(mixture, kept), basis, c[:JUDGED_ON], owner[kept.numpy()])

    usual = min(multimode(len(together(one.refined, one.c)[2]) for one in tries))
    tries = sorted(tries, key=lambda one: -one.gain)
    likeliest = [one.mixture for one in tries]
    if len(c) < 2 * PART_FITTED:
        finalists = likeliest[: max(2, FINALISTS // len(c))]
        allowed = allowed_motifs(owner, label, c.device)
        settled = [settle_mixture(mixture, c, allowed) for mixture in finalists]
        likeliest = sorted(settled, key=lambda mixture: -mixture.evidence)
    for mixture in likeliest:
        found = together(refined(mixture, c), c)
        if len(found[2]) == usual:
            return found
    return together(refined(likeliest[0], c), c)


def _labels(known, count: int) -> tuple[list, np.ndarray]:
    """The names given, and which of them each sub-image has (M,); -1 for none."""
    if known is None:
        return [], np.full(count, -1)
    known = np.asarray([str(name) for name in np.atleast_1d(known)])
    if known.shape != (count,):
        raise ValueError(f'{len(known)} names for {count} sub-images: give one each, "" if unknown')
    names = [str(name) for name in np.unique(known) if name]
    if not names or len(names) > MOST_PIECES // 2:
        raise ValueError(f"known names {names}: 1 to {MOST_PIECES // 2} names are needed")
    return names, np.array([names.index(name) if name else -1 for name in known])


def _halves(label: np.ndarray, half: int, rng) -> list[np.ndarray]:
    """Indices of two parts of `half` sub-images that share none, unless there is but one of a
    name."""
    order = rng.permutation(len(label))
    known = order[label[order] >= 0]
    others = order[label[order] < 0]
    half = max(1, half - len(known) // 2)
    parts = [others[:half], others[half : 2 * half]]
    for name in np.unique(label[known]):
        of_name = known[label[known] == name][: 2 * PART_FITTED]
        mine = [of_name[::2], of_name[1::2] if len(of_name) > 1 else of_name]
        parts = [np.concatenate(pair) for pair in zip(parts, mine, strict=True)]
    return parts


def _evidence_of_nothing(fitted: torch.Tensor, held: torch.Tensor) -> float:
    """Mean log p of sub-images held back, where all that differs is brightness and noise."""
    middle = torch.zeros_like(fitted[0])
    middle[0] = fitted[:, 0].mean()
    variance = (fitted - middle).square().mean()
    misfit = (held - middle).square().mean() / variance
    return float(-held.shape[1] / 2 * (misfit + (2 * np.pi * variance).log()))


def _nothing(basis, turns: Turns, c: torch.Tensor) -> Pieces:
    """One round motif and no kind: what stands for a stack of noise."""
    motif = c.mean(0, keepdim=True)
    motif[:, turns.still :] = 0
    mixture = Mixture(turns, motif, c.new_zeros(1), float((c - motif).square().mean()))
    kind = torch.zeros(1, dtype=torch.long, device=c.device)
    return Pieces(basis, mixture, kind, [], np.zeros(0, int))


# ------------------------------------------------------------------ from pieces to kinds


def coherent(mixture: Mixture, basis: DiskHarmonics) -> torch.Tensor:
    """Which motifs (J,) have members alike; those that straddle a boundary have not.

    What a motif leaves of its members at the highest frequencies is noise. Where it leaves more at
    the lower ones, members differ from each other.
    """
    fine = _fine(basis)
    coarse = ~fine
    coarse[0] = False  # brightness may differ
    misfit = mixture.misfit.cpu()
    excess = (misfit[:, coarse] - misfit[:, fine].mean(1, keepdim=True)).sum(1).clamp_min(0)
    power = mixture.motifs[:, 1:].square().sum(1).cpu()
    coherence = power / (power + excess).clamp_min(1e-12)
    number = mixture.number.cpu()
    coherence[number < max(FEWEST, LEAST_SHARE * float(number.sum()))] = 0
    return coherence >= min(LEAST_COHERENCE, float(coherence.max()))


def _fine(basis: DiskHarmonics) -> torch.Tensor:
    """Which coefficients (K,) bool show noise alone."""
    frequency = torch.as_tensor(basis.frequency)
    return frequency >= torch.quantile(frequency, FINEST)


def unlikeness(one: Mixture, other: Mixture) -> tuple[torch.Tensor, torch.Tensor]:
    """One less the correlation (I, J) of the motifs of two mixtures at the best turn, and the turn
    that lays those of the other onto those of the one.

    Mean brightness is left out, gain does not count, and the noise of the motifs is taken off.
    """
    motifs, signals = [], []
    for mixture in (one, other):
        g = mixture.motifs.clone()
        g[:, 0] = 0
        power = g.square().sum(-1)
        noise = mixture.misfit[:, 1:].sum(-1) / mixture.number.clamp_min(1)
        motifs.append(mixture.turns.lay(g))
        signals.append((power - noise).clamp_min(LEAST_SIGNAL * power).clamp_min(1e-12))
    on_grid = one.turns.overlaps(*motifs)
    correlation = on_grid.amax(-1) / (signals[0][:, None] * signals[1]).sqrt()
    flat = on_grid.flatten(0, 1)
    turn = top_of(flat, flat.argmax(1)).view_as(correlation)
    return (1 - correlation).clamp_min(0), turn


def _together(mixture: Mixture, basis: DiskHarmonics, c: torch.Tensor, owner) -> tuple:
    """The motifs stood up alike along the chains of likeness, the kind (J,) of each, and which name
    each kind has (-1: none), from sub-images (N, K). The commonest kind comes first."""
    apart, turn = unlikeness(mixture, mixture)
    apart = (apart + apart.T) / 2
    step = torch.where(_gap(mixture, basis, c, turn) < A_GAP, apart.clamp_max(CLOSEST), apart)
    step = torch.where(apart < WIDEST, step, apart).cpu()
    apart, turn = apart.cpu(), turn.cpu()
    group = _groups(step.numpy(), owner)
    share = np.bincount(group, weights=mixture.log_share.exp().cpu().numpy())
    rank = np.argsort(np.argsort(-share))
    kind = rank[group]
    named = [int(owner[kind == number].max()) for number in range(len(share))]
    up = _along_the_chain(apart, turn, int(mixture.log_share.argmax()))
    motifs = mixture.turns.rotate(mixture.motifs, up.to(mixture.motifs.device))
    kind = torch.as_tensor(kind, device=motifs.device)
    return replace(mixture, motifs=motifs), kind, named


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
    laid = mixture.turns.rotate(mixture.motifs.repeat(count, 1), turn.flatten())
    way = laid.view(count, count, -1) - mixture.motifs[:, None]
    way[..., 0] = 0  # brightness may differ
    length = way.norm(dim=2)
    along = way / length.clamp_min(1e-9)[..., None]
    noise = mixture.misfit[:, _fine(basis)].mean(1)
    spread = torch.zeros_like(length)
    for j in range(count):
        members = left[motif == j] @ along[j].T
        spread[j] = (members.square().mean(0) - noise[j]).clamp_min(0).sqrt()
    return (length + length.T) / 4 / torch.minimum(spread, spread.T).clamp_min(1e-9)


def _groups(apart: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Number (J,) of the group of each motif: chains of motifs that are alike.

    Motifs of one name are one group, and others join the nearest name that is near enough.
    """
    if len(apart) == 1:
        return np.zeros(1, int)
    chain = hierarchy.linkage(apart[np.triu_indices(len(apart), 1)], "single")
    limit = float(np.clip(CHAIN * np.median(chain[:, 2]), CLOSEST, FARTHEST))
    group = hierarchy.fcluster(chain, limit, "distance") + owner.max(initial=-1)
    named = np.flatnonzero(owner >= 0)
    group[named] = owner[named]
    for motif in np.flatnonzero(owner < 0) if len(named) else ():
        nearest = named[np.argmin(apart[motif, named])]
        if apart[motif, nearest] < limit:
            group[motif] = owner[nearest]
    return np.unique(group, return_inverse=True)[1]


def _along_the_chain(apart: torch.Tensor, turn: torch.Tensor, first: int) -> torch.Tensor:
    """Turn (J,) that makes each motif stand as the most alike one that stands already."""
    up = torch.zeros(len(apart))
    standing = [first]
    left = set(range(len(apart))) - {first}
    while left:
        pairs = [(float(apart[i, j]), i, j) for i in standing for j in sorted(left)]
        _, i, j = min(pairs)
        up[j] = up[i] + turn[i, j]
        standing.append(j)
        left.remove(j)
    return up


def _standing_as(mixture: Mixture, pieces: Pieces) -> Pieces:
    """Motifs of another mixture, each turned onto the most alike piece, and of its kind."""
    apart, turn = unlikeness(pieces.mixture, mixture)
    nearest = apart.argmin(0)
    up = turn[nearest, torch.arange(len(mixture))]
    turned = replace(mixture, motifs=mixture.turns.rotate(mixture.motifs, up))
    return replace(pieces, mixture=turned, kind=pieces.kind[nearest])
