"""Angles on a circle: fold them by a symmetry, find that symmetry, and fix their zero."""

import numpy as np
from scipy.spatial import cKDTree

from ..images import as_positions, as_stack, as_whole, values_of
from ..subimages.harmonics import DiskHarmonics, angular_power

LARGEST_ORDER = 12
ONE_SIDED = 0.5  # spacings that the bonds of a column sum to: beyond it a neighbour is missing
LEAST_MOMENT = 0.8  # of the posterior's peaks: below it other angles explain the data as well


def fold_angles(angle: np.ndarray, order: int) -> np.ndarray:
    """Angles modulo 2 pi / order, in (-pi/order, pi/order].

    A motif of n-fold symmetry looks the same after a turn by 2 pi / n, so that only this part of
    its angle means anything.

    Parameters
    ----------
    angle : array of radians
    order : int
        1 wraps into (-pi, pi] and changes nothing else.

    Raises
    ------
    ValueError
        If `order` is not a whole number of at least 1.
    """
    order = as_whole("order", order, 1)
    period = 2 * np.pi / order
    half = period / 2
    angle = values_of(angle, np.float64)
    return half - np.mod(half - angle, period)


def circular_mean(angle: np.ndarray, order: int = 1) -> float:
    """Mean direction of angles that are known modulo 2 pi / order, radians.

    Missing angles (NaN or masked) are left out; NaN if all of them are missing.
    """
    angle = values_of(angle)
    known = angle[np.isfinite(angle)]
    if known.size == 0:
        return np.nan
    mean = np.mean(np.exp(1j * order * known))
    direction = np.angle(mean) / order
    return float(direction)


def align_gauge(
    angle: np.ndarray,
    reference: np.ndarray | float,
    *,
    order: int = 1,
) -> np.ndarray:
    """Shift all angles by one constant, so that they agree on average with a reference.

    The zero of the rVAE's angle is arbitrary: only differences between angles of one motif are
    physics. Use it a site type at a time.

    Parameters
    ----------
    angle : (M,) radians
    reference : (M,) or one number, radians
        The truth, another model's angles, or a direction of the lattice.
    order : int
        Symmetry of the motif: the two need to agree only modulo 2 pi / order.

    Returns
    -------
    (M,) radians in (-pi, pi].
    """
    angle = values_of(angle, np.float64)
    if angle.ndim != 1 or len(angle) == 0:
        raise ValueError(f"angle has shape {angle.shape}, but (M,) with M of at least 1 is needed")
    reference = values_of(reference, np.float64)
    if reference.shape not in ((), angle.shape):
        raise ValueError(f"reference has shape {reference.shape}, not () or {angle.shape}")
    zero = circular_mean(angle - reference, order)
    return fold_angles(angle - zero, 1)


def rotational_order(
    motif: np.ndarray,
    *,
    tolerance: float = 0.03,
) -> int:
    """Largest n for which a motif looks the same after a turn by 2 pi / n.

    Read from its angular spectrum: an n-fold motif has power in the angular orders 0, n, 2n, …
    alone. Use it on a decoded motif or a mean sub-image, where the noise has gone.

    Parameters
    ----------
    motif : (w, w)
        Only the inscribed disk is used; NaN outside it are welcome.
    tolerance : float
        Share of the non-round power that other orders may hold.

    Returns
    -------
    int
        1 for no symmetry; 0 for a round motif, which no turn changes.
    """
    motif = values_of(motif)
    power = _angular_power(motif[None])
    turning = power[0, 1:].sum()
    if turning <= tolerance * power.sum():
        return 0
    largest = 1
    for n in range(1, LARGEST_ORDER + 1):
        (share,) = _share_of_order(power, n)
        if share >= 1 - tolerance:
            largest = n
    return largest


def _angular_power(stack: np.ndarray) -> np.ndarray:
    """Power (M, m_max + 1) of sub-images (M, w, w) in each angular order."""
    _, window_px, _ = as_stack(stack).shape
    basis = DiskHarmonics.build(window_px)
    coefficients = basis.project(stack)
    return angular_power(coefficients, basis)


def _share_of_order(power: np.ndarray, n: int) -> np.ndarray:
    """Share (M,) of the non-round power (M, m_max + 1) that an n-fold motif may hold."""
    turning = power[:, 1:].sum(axis=1)
    n_fold = power[:, n::n].sum(axis=1)
    return n_fold / np.maximum(turning, 1e-30)


def posterior_order(encoding, rows=slice(None)) -> int:
    """Smallest n for which the data tell the angle of sub-images modulo 2 pi / n, and no more.

    Read from the posterior of the angle, turned to its mode and averaged: where n angles explain
    each sub-image alike, it has n equal peaks, and its circular moments vanish up to the n-th. The
    order of the *motif* (`rotational_order`) is the same if the noise lets all of it be seen.

    Parameters
    ----------
    encoding : Encoding
    rows : the sub-images of one site type; all by default.

    Returns
    -------
    int
        0 if no order up to 12 fits: the angle is not told at all.
    """
    away = encoding.modes - encoding.angle[:, None]
    away = away[rows]
    weight = encoding.mode_probability[rows]
    sd = encoding.mode_sd[rows]
    for n in range(1, LARGEST_ORDER + 1):
        # The n-th circular moment of a normal peak is that of its top times exp(-(n sd)^2 / 2).
        width = np.exp(-((n * sd) ** 2) / 2)
        moment = (weight * np.cos(n * away) * width).sum(axis=1)
        if moment.mean() > LEAST_MOMENT:
            return n
    return 0


def lattice_direction(
    positions,
    *,
    order: int = 4,
    count: int = 4,
) -> np.ndarray:
    """Direction of the bonds of each column to its nearest neighbours, modulo 2 pi / order.

    The phase of the bond-orientational order parameter, the mean of exp(i n phi) over neighbours:
    a direction measured without the model, against which `align_gauge` can lay the zero of angles.

    Parameters
    ----------
    positions : (N, 2) array or Columns
        Best of one sublattice, [row, column] in pixels.
    order : int
        4 on a square net, 6 on a hexagonal one, 2 where rows lie close together.
    count : int
        Nearest neighbours used.

    Returns
    -------
    (N,) radians in (-pi/order, pi/order], counter-clockwise as displayed. Where a neighbour is
    missing, at the border of the lattice, that of the nearest column which has them all around.
    """
    positions = as_positions(positions)
    count = as_whole("count", count, 1, len(positions) - 1)
    tree = cKDTree(positions)
    _, nearest = tree.query(positions, k=count + 1)
    neighbours = nearest[:, 1:]  # itself apart
    bonds = positions[neighbours] - positions[:, None]
    bonds = bonds @ [-1j, 1]  # (N, count); rows run down
    length = np.abs(bonds)

    # Where the bonds do not cancel, a neighbour is missing.
    lopsided = np.abs(bonds.sum(axis=1)) / np.median(length)
    most_lopsided = max(ONE_SIDED, lopsided.min())
    whole = np.flatnonzero(lopsided <= most_lopsided)

    unit = bonds / length
    bond_order = np.mean(unit[whole] ** order, axis=1)
    whole_tree = cKDTree(positions[whole])
    _, like = whole_tree.query(positions)
    direction = np.angle(bond_order[like]) / order
    return fold_angles(direction, order)


def symmetry_scores(
    stack: np.ndarray,
    orders: tuple[int, ...] = (2, 3, 4, 6),
) -> np.ndarray:
    """How n-fold each sub-image looks, without any learning: (M, len(orders)) between 0 and 1.

    The score is the share of the non-round power in the angular orders n, 2n, 3n, … Noise spreads
    over all orders and gives about 1/n. Zernike-moment scores (arXiv:2405.17519) do the like.

    Parameters
    ----------
    stack : (M, w, w)
    orders : the n to score
    """
    power = _angular_power(stack)
    scores = [_share_of_order(power, n) for n in orders]
    return np.stack(scores, axis=1)
