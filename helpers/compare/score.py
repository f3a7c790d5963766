"""How much of the truth an encoding holds, judged on columns that were left out of the judgement.

The latents and the angle of an rVAE have no unit and no fixed zero. What can be scored is whether
the truth *can be read* from them: columns that lie close together among the latents should be of
one kind and of one thickness.
"""

import numpy as np
from scipy.spatial import cKDTree

from ..images import values_of
from ..results.angles import align_gauge, fold_angles


def nearest_in_latents(
    latent,
    values,
    *,
    neighbours: int = 7,
    seed: int = 0,
) -> np.ndarray:
    """Values (M, neighbours) of each column's nearest neighbours among the latents.

    The columns are dealt into two halves at random, and neighbours always come from the other
    half: nothing is judged by itself. All latents share one prior, so distances are taken as they
    are, without scaling.

    Parameters
    ----------
    latent : (M, d)
    values : (M,) of any kind

    Raises
    ------
    ValueError
        If the lengths differ, or a half holds fewer columns than `neighbours`.
    """
    latent = values_of(latent, np.float64)
    values = np.asarray(values)
    if latent.ndim != 2 or values.shape != latent.shape[:1]:
        message = (
            f"latent {latent.shape}, truth {values.shape}: "
            "take the truth of the columns that were encoded"
        )
        raise ValueError(message)
    if len(latent) < 2 * neighbours:
        raise ValueError(f"{len(latent)} columns, but {2 * neighbours} are needed in two halves")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(latent))
    first, second = np.array_split(shuffled, 2)
    found = np.empty((len(latent), neighbours), dtype=values.dtype)
    for judged, known in ((first, second), (second, first)):
        tree = cKDTree(latent[known])
        _, nearest = tree.query(latent[judged], k=range(1, neighbours + 1))
        found[judged] = values[known[nearest]]
    return found


def share_right(
    latent: np.ndarray,
    label: np.ndarray,
    **options,
) -> float:
    """Share of columns whose label (M,) is that of most of their neighbours among the latents.

    `options` are those of `nearest_in_latents`.
    """
    right = label_is_right(latent, label, **options)
    return float(np.mean(right))


def label_is_right(
    latent: np.ndarray,
    label: np.ndarray,
    **options,
) -> np.ndarray:
    """Mask (M,) of these columns."""
    kinds, index = np.unique(label, return_inverse=True)
    around = nearest_in_latents(latent, index, **options)
    every_kind = np.arange(len(kinds))
    votes = (around[:, :, None] == every_kind).sum(axis=1)
    winner = votes.argmax(axis=1)
    return winner == index


def r_squared(
    latent: np.ndarray,
    value: np.ndarray,
    **options,
) -> float:
    """Share of the variance of a number (M,) that the neighbours among the latents explain.

    1 when they know it, 0 or a little less when they know nothing. `options` are those of
    `nearest_in_latents`.
    """
    value = values_of(value, np.float64)
    variance = value.var()
    if not variance > 0:
        raise ValueError(f"all values are {value.flat[0]:g}: there is no variance to explain")
    around = nearest_in_latents(latent, value, **options)
    guess = around.mean(axis=1)
    unexplained = np.mean((value - guess) ** 2)
    return float(1 - unexplained / variance)


def sign_from_angle(
    angle,
    direction,
    site,
    sign,
) -> np.ndarray:
    """Sign of the layer (M,) int as the angle tells it: +1, -1, and 0 where none is told.

    That is at sites that have no sign, and where an angle is missing (NaN or masked).

    Two orientations 180 degrees apart are told from each other by the side of the lattice
    direction on which an angle lies. The zero of each site's angle is found modulo 180 degrees,
    without the signs. Which of the two orientations is called +1 is a convention, one for each
    site: the truth is asked for that alone.

    Parameters
    ----------
    angle : (M,) radians
    direction : (M,) radians
        True direction of the +c axis at each column.
    site : (M,) str
    sign : (M,) int
        True signs.
    """
    angle = values_of(angle)
    direction = values_of(direction)
    site = np.asarray(site)
    sign = np.asarray(sign)
    if not angle.shape == direction.shape == site.shape == sign.shape:
        message = (
            "angle, direction, site and sign have shapes "
            f"{angle.shape}, {direction.shape}, {site.shape}, {sign.shape}: give one each"
        )
        raise ValueError(message)
    told = np.zeros(len(angle), dtype=int)
    for kind in np.unique(site[sign != 0]):
        rows = site == kind
        aligned = align_gauge(angle[rows], direction[rows], order=2)
        off = fold_angles(aligned - direction[rows], 1)
        side = np.where(np.abs(off) < np.pi / 2, 1, -1)
        side[np.isnan(off)] = 0
        agreement = (side * sign[rows]).sum()
        if agreement < 0:
            side = -side
        told[rows] = side
    return told
