"""Motifs of a mixture, put together into kinds and stood up alike.

A mixture of more motifs than there are kinds is fitted (`helpers.rvae.mixture`). The pieces into
which a wedge of thickness or a strain splits one kind are alike to a few parts in a hundred and lie
in a chain; motifs of two sites are not alike. So pieces are put together as far as the chain goes,
and stood up alike along it (`helpers.rvae.chains`). What is not coherent (boundaries, windows that
show two grains) is no kind. Two mixtures of different halves of the sub-images
(`helpers.rvae.halves`) tell what is known: an angle on which they agree modulo 2 pi / n alone is
known modulo 2 pi / n. By which of these n turns a sub-image stands, one pattern decides for all
pieces of a kind (`helpers.rvae.standing`).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..subimages.harmonics import DiskHarmonics
from .chains import unlikeness
from .halves import JUDGED_ON, all_tries, labels_of, likeliest_kinds
from .mixture import Mixture, best_turns
from .orders import orders_of
from .standing import stand_alike
from .turns import Turns, log_sum, top_of

MIN_SUBIMAGES = 16
REFINED_ON = 8192  # sub-images that the motifs are means of
LEAST_GAIN = 0.5  # nats a sub-image not fitted: less, and the stack is noise


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
        last = int(self.kind.max())
        return last + 1

    def order_of(self, kind: np.ndarray) -> np.ndarray:
        """Order (M,) of sub-images of kinds (M,); 0 where there is none."""
        if len(self.order) == 0:
            return np.zeros(len(kind), int)
        return self.order[kind]

    def middle(self) -> torch.Tensor:
        """The mean motif (n, K) of each kind."""
        motifs = self.mixture.motifs
        share = self.mixture.log_share.exp()[:, None]
        numbers = motifs.shape[1]
        no_motifs = motifs.new_zeros(self.count, numbers)
        no_shares = motifs.new_zeros(self.count, 1)
        sums = no_motifs.index_add(0, self.kind, share * motifs)
        shares = no_shares.index_add(0, self.kind, share)
        return sums / shares

    def nearest(self, g: torch.Tensor) -> torch.Tensor:
        """The piece (N,) that is nearest to each of the upright motifs g (N, K)."""
        distance = torch.cdist(g, self.mixture.motifs)
        return distance.argmin(1)

    def of_kinds(self, part: torch.Tensor) -> torch.Tensor:
        """log of each kind (N, n) of sub-images (N, K), whatever the turn, up to what depends on
        neither."""
        logits = self.mixture.logits(self.mixture.turns.lay(part))
        levels = []
        for kind in range(self.count):
            of_kind = logits[:, self.kind == kind]
            by_turn = log_sum(of_kind.movedim(1, -1))
            levels.append(by_turn)
        return log_sum(torch.stack(levels, dim=1))

    def upright(self, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sub-images (N, K), turned back to where the likeliest motif stands; its kind (N,)."""
        motif, turn = best_turns(self.mixture, c)
        upright = self.mixture.turns.rotate(c, -turn)
        return upright, self.kind[motif]

    def ways(self, c: torch.Tensor, count: int) -> torch.Tensor:
        """The `count` likeliest turns (N, count) of each sub-image (N, K), whatever its kind.

        Each is a maximum over the circle of the posterior.
        """
        laid = self.mixture.turns.lay(c)
        logits = self.mixture.logits(laid)  # (N, J, A)
        del laid
        on_grid = log_sum(logits.movedim(1, -1))

        # What is no maximum counts less than any that is.
        is_above_last = on_grid >= on_grid.roll(1, -1)
        is_above_next = on_grid > on_grid.roll(-1, -1)
        is_top = is_above_last & is_above_next
        height = torch.where(is_top, on_grid, on_grid - 1e6)
        best = height.topk(count, dim=1).indices
        angles = [top_of(on_grid, index) for index in best.T]
        return torch.stack(angles, dim=1)

    def to(self, device) -> "Pieces":
        """The same on another device."""
        mixture = replace(
            self.mixture,
            turns=Turns(self.basis, device),
            motifs=self.mixture.motifs.to(device),
            log_share=self.mixture.log_share.to(device),
        )
        return replace(
            self,
            mixture=mixture,
            kind=self.kind.to(device),
        )


def require_enough(count: int) -> None:
    """A ValueError unless there are sub-images enough to learn a motif from."""
    if count < MIN_SUBIMAGES:
        message = (
            f"{count} sub-images, but at least {MIN_SUBIMAGES} are needed to learn a motif: "
            "use a larger image or a smaller window"
        )
        raise ValueError(message)


@torch.no_grad()
def find_pieces(c: torch.Tensor, basis: DiskHarmonics, *, seed: int, known=None) -> Pieces:
    """The pieces of normalised coefficients (M, K); see the head of this module."""
    rng = np.random.default_rng(seed)
    turns = Turns(basis, c.device)
    count = len(c)
    names, label = labels_of(known, count)
    tries, owner = all_tries(c, turns, names, label, rng)

    rows = rng.permutation(count)
    rows = rows[:REFINED_ON]
    some = c[rows]
    gain = max(one.gain for one in tries)
    if gain < LEAST_GAIN:
        return _nothing(basis, turns, some)

    whole, kind, named = likeliest_kinds(tries, some, basis, owner, label[rows])
    kinds = _kind_names(named, names)
    unknown = np.ones(len(kinds), int)
    pieces = Pieces(basis, whole, kind, kinds, unknown)

    # The two of a division are judges that have seen different sub-images.
    stood = [_standing_as(one.coherent_motifs(basis), pieces) for one in tries]
    judges = list(zip(stood[::2], stood[1::2], strict=True))
    order = orders_of(pieces, judges, some[:JUDGED_ON])
    stood_alike = stand_alike(whole, kind, order, some)
    return replace(pieces, order=order, mixture=stood_alike)


def _kind_names(named: list[int], names: list[str]) -> list[str]:
    """The name of each kind that has one, a number for each other."""
    kinds = []
    for position, number in enumerate(named):
        if number >= 0:
            kinds.append(names[number])
        else:
            kinds.append(f"kind {position + 1}")
    return kinds


def _nothing(basis, turns: Turns, c: torch.Tensor) -> Pieces:
    """One round motif and no kind: what stands for a stack of noise."""
    motif = c.mean(0, keepdim=True)
    motif[:, turns.still :] = 0
    squares = (c - motif).square()
    variance = squares.mean()
    log_share = c.new_zeros(1)
    mixture = Mixture(turns, motif, log_share, float(variance))
    kind = torch.zeros(1, dtype=torch.long, device=c.device)
    no_order = np.zeros(0, int)
    return Pieces(basis, mixture, kind, [], no_order)


def _standing_as(mixture: Mixture, pieces: Pieces) -> Pieces:
    """Motifs of another mixture, each turned onto the most alike piece, and of its kind."""
    apart, turn = unlikeness(pieces.mixture, mixture)
    nearest = apart.argmin(0)
    count = len(mixture)
    columns = torch.arange(count)
    up = turn[nearest, columns]
    motifs = mixture.turns.rotate(mixture.motifs, up)
    return replace(
        pieces,
        mixture=replace(mixture, motifs=motifs),
        kind=pieces.kind[nearest],
    )
