"""Which motifs there are in a stack of sub-images, each turned anyhow: found before any training.

How they are found stands in `helpers.rvae.pieces`; modulo what their turn is known, in
`helpers.rvae.orders`.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from ..device import one_thread
from ..images import as_stack
from ..subimages.harmonics import DiskHarmonics, data_band_limit
from .mixture import PART, Turns, best_turns, log_sum
from .noise import Contrast
from .pieces import Pieces, find_pieces, require_enough


@dataclass(frozen=True)
class Kinds:
    """The kinds of motifs in M sub-images.

    Attributes
    ----------
    motifs : (n, w, w) float32
        Mean motif of each kind, upright, in the units of the pixels; NaN outside the disk.
    names : list of str
        As they were named by `known`; else "kind 1", "kind 2", …, the commonest first.
    share : (n,) float64
        Of the sub-images.
    order : (n,) int
        The turn is known modulo 2 pi / order; 0 where it is not known at all.
    likeness : (n, n) float64
        Correlation of two motifs, mean brightness apart, at the best turn.
    kind : (M,) int
        The likeliest kind of each sub-image, an index into the names; -1 where there is none.
    probability : (M, n) float64
    turn : (M,) float64
        Of each sub-image against the motif of its kind, radians, counter-clockwise. Within a kind
        all turns have one zero. Between kinds the offset is free: no geometry ties them.
    """

    motifs: np.ndarray = field(repr=False)
    names: list
    share: np.ndarray
    order: np.ndarray
    likeness: np.ndarray = field(repr=False)
    kind: np.ndarray = field(repr=False)
    probability: np.ndarray = field(repr=False)
    turn: np.ndarray = field(repr=False)
    pieces: Pieces = field(repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        if len(self) == 0:
            return "no kind of motif: the sub-images cannot be told from noise"
        lines = []
        for name, share, order in zip(self.names, self.share, self.order, strict=True):
            known = f"known modulo {360 / order:g}°" if order else "not known"
            lines.append(f"{name}: {share:.1%} of the sub-images, angle {known}")
        return "\n".join(lines)

    def apply(self, stack) -> "Kinds":
        """The same kinds in the sub-images (M, w, w) of another image.

        Raises
        ------
        ValueError
            If the windows are of another size, or hold NaN or no contrast.
        """
        basis = self.pieces.basis
        raw = basis.project(as_stack(stack, basis.window_px))
        contrast = Contrast.of(raw, basis)
        return describe(self.pieces, torch.as_tensor(contrast.remove(raw, basis)), contrast)


def find_kinds(stack, *, known=None, seed: int = 0, basis: DiskHarmonics | None = None) -> Kinds:
    """Find which motifs there are in a stack, each turned anyhow.

    Parameters
    ----------
    stack : (M, w, w), FrameStore, or coefficients (M, K) together with their `basis`
        At least 16 sub-images, up to a million: the mixture is fitted to 1,600 of them.
    known : (M,) of str, optional
        Names of a few sub-images, "" for all others, which follow.
    seed : int
        Of the sub-images that are fitted and of the starts.
    basis : DiskHarmonics, optional

    Returns
    -------
    Kinds : none if the stack cannot be told from noise, one if all motifs are alike.

    Raises
    ------
    ValueError
        If the stack has the wrong shape, is too small, holds NaN or no contrast, or `known` does
        not name one for each sub-image.

    Examples
    --------
    >>> kinds = find_kinds(stack)                                       # doctest: +SKIP
    >>> print(kinds)                                                    # doctest: +SKIP
    """
    if hasattr(stack, "sample"):
        basis, stack = stack.basis, stack.sample([seed, 0])
    if basis is None:
        window_px = as_stack(stack).shape[1]
        basis = DiskHarmonics.build(window_px, data_band_limit(stack, window_px))
    raw = stack if np.shape(stack)[1:] == (len(basis),) else basis.project(stack)
    require_enough(len(raw))
    contrast = Contrast.of(raw, basis)
    c = torch.as_tensor(contrast.remove(raw, basis))
    with one_thread():
        return describe(find_pieces(c, basis, seed=seed, known=known), c, contrast)


@torch.no_grad()
def describe(pieces: Pieces, c: torch.Tensor, contrast: Contrast) -> Kinds:
    """What the pieces say of normalised coefficients (M, K)."""
    count = len(pieces.names)
    turns = pieces.mixture.turns
    levels = [log_sum(pieces.of_kinds(turns.lay(part))) for part in c.split(PART)]
    probability = torch.softmax(torch.cat(levels), 1)
    kind = probability.argmax(1)
    _, turn = best_turns(pieces.mixture, c)
    if count == 0:
        kind = torch.full_like(kind, -1)
    upright = turns.rotate(c, -turn)
    number = torch.bincount(kind[kind >= 0], minlength=count)
    sums = c.new_zeros(count, c.shape[1]).index_add(0, kind[kind >= 0], upright[kind >= 0])
    means = sums / number.clamp_min(1)[:, None]
    motifs = pieces.basis.synthesise(means.cpu().numpy())
    return Kinds(
        motifs=motifs * np.float32(contrast.gain) + np.float32(contrast.offset),
        names=list(pieces.names),
        share=(number / len(c)).double().cpu().numpy(),
        order=pieces.order,
        likeness=_likeness(means, turns),
        kind=kind.cpu().numpy(),
        probability=probability.double().cpu().numpy()[:, :count],
        turn=turn.double().cpu().numpy(),
        pieces=pieces,
    )


def _likeness(means: torch.Tensor, turns: Turns) -> np.ndarray:
    """Correlation (n, n) of motifs (n, K), mean brightness apart, at the best turn."""
    if len(means) == 0:
        return np.zeros((0, 0))
    g = means.clone()
    g[:, 0] = 0
    g = turns.lay(g / g.norm(dim=1, keepdim=True).clamp_min(1e-12))
    return turns.overlaps(g, g).amax(-1).double().cpu().numpy()
