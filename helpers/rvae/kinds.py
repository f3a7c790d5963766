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
from .mixture import best_turns
from .noise import Contrast
from .pieces import Pieces, find_pieces, require_enough
from .reading import coefficients_of, is_store, require_basis
from .turns import PART, Turns


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
            if order:
                line = f"{name}: {share:.1%} of the sub-images, angle known modulo {360 / order:g}°"
            else:
                line = f"{name}: {share:.1%} of the sub-images, angle not known"
            lines.append(line)
        return "\n".join(lines)

    def apply(self, stack) -> "Kinds":
        """The same kinds in the sub-images (M, w, w) of another image.

        Raises
        ------
        ValueError
            If the windows are of another size, or hold NaN or no contrast.
        """
        basis = self.pieces.basis
        windows = as_stack(stack, basis.window_px)
        raw = basis.project(windows)
        contrast = Contrast.of(raw, basis)
        normalised = contrast.remove(raw, basis)
        c = torch.as_tensor(normalised)
        return describe(self.pieces, c, contrast)


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
        Of coefficients; a store has its own.

    Returns
    -------
    Kinds : none if the stack cannot be told from noise, one if all motifs are alike.

    Raises
    ------
    ValueError
        If the stack has the wrong shape, is too small, holds NaN or no contrast, `known` does
        not name one for each sub-image, or `basis` is not that of the store.

    Examples
    --------
    >>> kinds = find_kinds(stack)                                       # doctest: +SKIP
    >>> print(kinds)                                                    # doctest: +SKIP
    """
    if is_store(stack):
        basis = _basis_of_store(stack, basis)
        stack = stack.sample([seed, 0])
    if basis is None:
        stack = as_stack(stack)
        window_px = stack.shape[1]
        band_limit = data_band_limit(stack, window_px)
        basis = DiskHarmonics.build(window_px, band_limit)
    raw = coefficients_of(stack, basis)
    require_enough(len(raw))

    contrast = Contrast.of(raw, basis)
    normalised = contrast.remove(raw, basis)
    c = torch.as_tensor(normalised)
    with one_thread():
        pieces = find_pieces(c, basis, seed=seed, known=known)
        return describe(pieces, c, contrast)


def _basis_of_store(store, given: DiskHarmonics | None) -> DiskHarmonics:
    """The basis of a store; a ValueError if another one is given."""
    if given is None:
        return store.basis
    wished = (given.window_px, given.band_limit)
    return require_basis(store.basis, "the store has", wished, "leave basis= out")


@torch.no_grad()
def describe(pieces: Pieces, c: torch.Tensor, contrast: Contrast) -> Kinds:
    """What the pieces say of normalised coefficients (M, K)."""
    count = len(pieces.names)
    turns = pieces.mixture.turns
    levels = [pieces.of_kinds(part) for part in c.split(PART)]
    probability = torch.softmax(torch.cat(levels), 1)
    kind = probability.argmax(1)
    if count == 0:
        kind = torch.full_like(kind, -1)
    _, turn = best_turns(pieces.mixture, c)
    upright = turns.rotate(c, -turn)
    means, number = _means(upright, kind, count)

    # Back to the units of the pixels.
    normalised = pieces.basis.synthesise(means.cpu().numpy())
    gain = np.float32(contrast.gain)
    offset = np.float32(contrast.offset)
    share = number / len(c)
    return Kinds(
        motifs=normalised * gain + offset,
        names=list(pieces.names),
        share=_as_float64(share),
        order=pieces.order,
        likeness=_likeness(means, turns),
        kind=kind.cpu().numpy(),
        probability=_as_float64(probability)[:, :count],
        turn=_as_float64(turn),
        pieces=pieces,
    )


def _means(upright: torch.Tensor, kind: torch.Tensor, count: int) -> tuple:
    """The mean motif (n, K) of the sub-images (M, K) of each kind, and how many (n,) these are."""
    is_told = kind >= 0
    told = kind[is_told]
    number = torch.bincount(told, minlength=count)
    numbers = upright.shape[1]
    zeros = upright.new_zeros(count, numbers)
    sums = zeros.index_add(0, told, upright[is_told])
    divisor = number.clamp_min(1)
    means = sums / divisor[:, None]
    return means, number


def _as_float64(values: torch.Tensor) -> np.ndarray:
    precise = values.double()
    on_host = precise.cpu()
    return on_host.numpy()


def _likeness(means: torch.Tensor, turns: Turns) -> np.ndarray:
    """Correlation (n, n) of motifs (n, K), mean brightness apart, at the best turn."""
    if len(means) == 0:
        return np.zeros((0, 0))
    g = means.clone()
    g[:, 0] = 0
    length = g.norm(dim=1, keepdim=True)
    length = length.clamp_min(1e-12)
    laid = turns.lay(g / length)
    on_grid = turns.overlaps(laid, laid)
    likeness = on_grid.amax(-1)
    return _as_float64(likeness)
