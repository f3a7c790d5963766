"""What a model reads: sub-images as coefficients of a basis, and the class of each.

A stack is an array of sub-images (M, w, w), their coefficients (M, K), or a FrameStore, which
draws other sub-images for each pass of a training.
"""

import math

import numpy as np

from ..images import frames_of, require_some, values_of
from ..subimages.harmonics import DiskHarmonics, as_finite, data_band_limit
from .motifs import CLASS_SIZE

SAME_LIMIT = 1e-5  # relative: a message gives a band limit to six digits, which may come back


def is_store(stack) -> bool:
    """Whether a stack draws other sub-images for each pass, as a FrameStore does."""
    return hasattr(stack, "sample")


def basis_for(stack, kinds, window_px: int, band_limit: float | None) -> DiskHarmonics:
    """The basis in which a stack is learned: that of the kinds or the store, where given.

    ValueError if that is of another window or band limit than those that were wished for.
    """
    wished = (window_px, band_limit)
    remedy = "train an RVAE of that window_px, and without a band_limit"
    if kinds is not None:
        basis = require_basis(kinds.pieces.basis, "the kinds have", wished, remedy)
        if is_store(stack):
            of_kinds = (basis.window_px, basis.band_limit)
            require_basis(stack.basis, "the store has", of_kinds, "find the kinds in this store")
        return basis
    if is_store(stack):
        return require_basis(stack.basis, "the store has", wished, remedy)
    if band_limit is None:
        band_limit = data_band_limit(stack, window_px)
    return DiskHarmonics.build(window_px, band_limit)


def require_basis(basis: DiskHarmonics, whose: str, wished: tuple, remedy: str) -> DiskHarmonics:
    """The basis; a ValueError if it is not of the window and the band limit that are wished for.

    A limit that is None may be any.
    """
    window_px, limit = wished
    is_any = limit is None
    has_limit = is_any or math.isclose(basis.band_limit, limit, rel_tol=SAME_LIMIT)
    if basis.window_px == window_px and has_limit:
        return basis
    and_limit = "" if is_any else f" and band_limit={limit:g}"
    raise ValueError(
        f"window_px={window_px}{and_limit}, but {whose} windows of {basis.window_px} px "
        f"and band_limit={basis.band_limit:g}: {remedy}"
    )


def coefficients_of(stack, basis: DiskHarmonics) -> np.ndarray:
    """Of sub-images (M, w, w), (M, K); those of a FrameStore (M, K) are some already."""
    stack = frames_of(stack)
    require_some(stack)
    are_coefficients = stack.shape[1:] == (len(basis),)
    if are_coefficients:
        return as_finite(values_of(stack))
    return basis.project(stack)


def class_names(classes) -> list[str]:
    """The different classes (M,) of sub-images, in order; none where none are known."""
    if classes is None:
        return []
    return [str(name) for name in np.unique(classes)]


def require_no_classes_of_store(stack, classes) -> None:
    """A ValueError if classes are given for a store: each pass has other sub-images."""
    if classes is not None and is_store(stack):
        raise ValueError(
            "classes were given for a store, but a store draws other sub-images for each pass: "
            "train without classes, or on one stack of sub-images"
        )


def one_hot(classes, count: int, known: list[str]) -> np.ndarray:
    """The class of each sub-image as a row of zeros with one entry, (M, n); n may be 0."""
    names = []
    if classes is not None:
        names = [str(name) for name in np.atleast_1d(classes)]
    unknown = sorted(set(names) - set(known))
    wanted = count if known else 0
    if unknown or len(names) != wanted:
        raise ValueError(
            f"{len(names)} classes for {count} sub-images, unknown ones: {unknown}; "
            f"give each one of {known}, and none to a model without classes"
        )
    rows = np.zeros((count, len(known)), dtype=np.float32)
    for row, name in zip(rows, names, strict=False):  # without classes there are no names
        row[known.index(name)] = CLASS_SIZE
    return rows


def one_angle_each(angle, count: int) -> np.ndarray:
    """One angle (M,) for each of so many motifs, of as many or of one for all."""
    angle = values_of(angle)
    if angle.shape not in ((), (1,), (count,)):
        raise ValueError(
            f"{angle.size} angles of shape {angle.shape} for {count} latents: "
            f"give one for all, or one for each, ({count},)"
        )
    return np.broadcast_to(angle, count)
