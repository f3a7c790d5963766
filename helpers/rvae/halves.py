"""Mixtures fitted to two halves of the sub-images, which share none, and the likeliest of them."""

from dataclasses import dataclass
from statistics import multimode

import numpy as np
import torch

from ..subimages.harmonics import DiskHarmonics
from .chains import coherent, put_together
from .fitting import allowed_motifs, fit_mixture, settle_mixture
from .mixture import Mixture, chosen, refined
from .turns import Turns

MOST_PIECES = 12
A_PIECE = 40  # sub-images, at least, for a motif of its own
PART_FITTED = 800  # sub-images of each of the two mixtures
STARTS = 2
FEWEST_DIVISIONS = 2  # of the sub-images into halves
MOST_DIVISIONS = 8
DIVIDED = 6400  # sub-images fitted so in all
FINALISTS = 6400  # sub-images fitted, all of a few at once, to settle the likeliest mixtures
JUDGED_ON = 3200  # sub-images that the orders are read from


@dataclass(frozen=True)
class Try:
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
    def of(cls, mixture: Mixture, c: torch.Tensor, held: torch.Tensor) -> "Try":
        """What a mixture of sub-images (N, K) is worth for those that were held back."""
        evidence = mixture.mean_evidence(held)
        gain = evidence - _evidence_of_nothing(c, held)
        return cls(mixture, c, refined(mixture, c), gain)

    def coherent_motifs(self, basis: DiskHarmonics) -> Mixture:
        """The mixture, as refined, of those motifs whose members are alike."""
        is_coherent = coherent(self.refined, basis)
        return chosen(self.refined, is_coherent)


def all_tries(c: torch.Tensor, turns: Turns, names: list, label: np.ndarray, rng) -> tuple:
    """Two mixtures (partners, in turn) of each division into halves, and the name that each of
    their motifs is fitted to (-1: none)."""
    count = len(c)
    half = min(PART_FITTED, count // 2)
    owner = _owners(names, half)
    divisions = np.clip(DIVIDED // count, FEWEST_DIVISIONS, MOST_DIVISIONS)
    tries = []
    for _ in range(int(divisions)):
        halves = _halves(label, half, rng)
        tries += _two_tries(c, turns, halves, owner, label, rng=rng)
    return tries, owner


def _owners(names: list, half: int) -> np.ndarray:
    """The name (J,) that each motif is fitted to: half of the motifs are given to names, as many
    to each; -1 for the others."""
    name_count = len(names)
    fewest = max(1, name_count)
    count = np.clip(half // A_PIECE, fewest, MOST_PIECES)
    count = int(count)
    owner = np.full(count, -1)
    if names:
        numbers = np.arange(name_count)
        each = max(1, count // (2 * name_count))
        given = each * name_count
        owner[:given] = np.repeat(numbers, each)
    return owner


def _two_tries(c, turns: Turns, halves: list, owner, label, *, rng) -> list:
    """Two mixtures of sub-images (N, K) that share none."""
    fitted = []
    for part in halves:
        mixture = fit_mixture(
            c[part],
            turns,
            len(owner),
            starts=STARTS,
            rng=rng,
            owner=owner,
            known=label[part],
        )
        fitted.append(mixture)
    first, second = fitted
    one, other = (c[part] for part in halves)
    return [Try.of(first, one, other), Try.of(second, other, one)]


def likeliest_kinds(
    tries: list, c: torch.Tensor, basis: DiskHarmonics, owner: np.ndarray, label: np.ndarray
) -> tuple:
    """The motifs, their kinds and names as `put_together` gives them, of the likeliest mixture that
    has as many kinds as most have.

    One fit in some is dealt out badly, and a chain may then break, or bridge a gap. Of two numbers
    that are found as often the smaller counts: most must have seen a kind. Of a few sub-images
    (N, K), known by names (N,), the likeliest mixtures are fitted to all before one is chosen:
    fitted to half of them, they would not stand them up alike.
    """

    def together(mixture: Mixture, c: torch.Tensor) -> tuple:
        kept = coherent(mixture, basis)
        owner_kept = owner[kept.numpy()]
        of_kept = chosen(mixture, kept)
        return put_together(of_kept, basis, c[:JUDGED_ON], owner_kept)

    counts = []
    for one in tries:
        _, _, named = together(one.refined, one.c)
        counts.append(len(named))
    usual = min(multimode(counts))

    likeliest = _likeliest(tries, c, owner, label)
    for mixture in likeliest:
        found = together(refined(mixture, c), c)
        _, _, named = found
        if len(named) == usual:
            return found
    best = refined(likeliest[0], c)
    return together(best, c)


def _likeliest(tries: list, c: torch.Tensor, owner, label) -> list[Mixture]:
    """The mixtures, the likeliest first; of a few sub-images (N, K) some, settled on all."""
    best_first = sorted(tries, key=lambda one: -one.gain)
    likeliest = [one.mixture for one in best_first]
    count = len(c)
    if count >= 2 * PART_FITTED:
        return likeliest
    finalists = max(2, FINALISTS // count)
    allowed = allowed_motifs(owner, label, c.device)
    settled = [settle_mixture(mixture, c, allowed) for mixture in likeliest[:finalists]]
    return sorted(settled, key=lambda mixture: -mixture.evidence)


def labels_of(known, count: int) -> tuple[list, np.ndarray]:
    """The names given, and which of them each sub-image has (M,); -1 for none."""
    if known is None:
        return [], np.full(count, -1)
    known = np.asarray([str(name) for name in np.atleast_1d(known)])
    if known.shape != (count,):
        message = f'{len(known)} names for {count} sub-images: give one each, "" if unknown'
        raise ValueError(message)

    names = [str(name) for name in np.unique(known) if name]
    most = MOST_PIECES // 2
    if not names or len(names) > most:
        raise ValueError(f"known names {names}: 1 to {most} names are needed")
    label = [names.index(name) if name else -1 for name in known]
    return names, np.array(label)


def _halves(label: np.ndarray, half: int, rng) -> list[np.ndarray]:
    """Indices of two parts of `half` sub-images that share none, unless there is but one of a
    name."""
    order = rng.permutation(len(label))
    is_known = label[order] >= 0
    known = order[is_known]
    others = order[~is_known]
    half = max(1, half - len(known) // 2)
    one = others[:half]
    other = others[half : 2 * half]

    name_of = label[known]
    for name in np.unique(name_of):
        of_name = known[name_of == name]
        of_name = of_name[: 2 * PART_FITTED]
        is_single = len(of_name) == 1
        of_other = of_name if is_single else of_name[1::2]
        one = np.concatenate([one, of_name[::2]])
        other = np.concatenate([other, of_other])
    return [one, other]


def _evidence_of_nothing(fitted: torch.Tensor, held: torch.Tensor) -> float:
    """Mean log p of sub-images held back, where all that differs is brightness and noise."""
    middle = torch.zeros_like(fitted[0])
    middle[0] = fitted[:, 0].mean()
    variance = (fitted - middle).square().mean()
    mean_square = (held - middle).square().mean()
    misfit = mean_square / variance
    log_variance = (2 * np.pi * variance).log()
    evidence = -held.shape[1] / 2 * (misfit + log_variance)
    return float(evidence)
