"""How well two trainings of one image agree: what both say is known, what one alone says is not."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from ..results.angles import fold_angles
from .noise import WELL_FITTED

SURE_RAD = np.radians(5)  # a column whose angle is stated to this is called sure
FIT_RAD = np.radians(1)  # the offset of a kind is looked for to this


@dataclass(frozen=True)
class Agreement:
    """How two encodings of the same M sub-images agree.

    Attributes
    ----------
    angle_rad : (M,) float64
        Difference of the angles, folded by the order of the kind and less one offset a kind; NaN
        where either knows no angle.
    angle_sd : (M,) float64
        Standard deviation of that difference as the two state it.
    pull : float
        Median size of the difference in units of the stated sd of one encoding: 0 for the same
        model, about 1 for trainings of independent noise.
    sure_apart : float
        Share of the columns that both call sure to 5 degrees and that differ by more.
    correlations : (k,) float64
        Canonical correlations of the living latents, the largest first, over the sub-images that
        both models fit: latents say nothing of others, such as windows that show two grains.
    same_kind : float
        Share of sub-images that are of the same kind, the kinds matched to each other.
    """

    angle_rad: np.ndarray
    angle_sd: np.ndarray
    pull: float
    sure_apart: float
    correlations: np.ndarray
    same_kind: float

    def __str__(self) -> str:
        correlations = "none"
        if len(self.correlations):
            correlations = ", ".join(f"{value:.2f}" for value in self.correlations)
        angles = "no angle is known to both"
        known = np.isfinite(self.angle_rad)
        if known.any():
            median_rad = np.median(np.abs(self.angle_rad[known]))
            median_deg = np.degrees(median_rad)
            angles = f"angles differ by {median_deg:.2f}° (median, {self.pull:.2f} stated sd)"
        return (
            f"{angles}\n"
            f"of those that both call sure, {self.sure_apart:.1%} are over 5° apart\n"
            f"canonical correlations of the living latents: {correlations}\n"
            f"of the same kind: {self.same_kind:.1%}"
        )


def compare_encodings(a, b) -> Agreement:
    """Compare two encodings of one image, such as those of models trained with two seeds.

    The zero of the angle, the order of the kinds and the axes of the latents are conventions: they
    are laid onto each other first.

    Parameters
    ----------
    a, b : Encoding of the same sub-images, in the same order

    Raises
    ------
    ValueError
        If they are of different numbers of sub-images.
    """
    if len(a) != len(b):
        raise ValueError(
            f"{len(a)} and {len(b)} sub-images: encode the same stack with both models"
        )
    apart, sd, own_sd = _differences(a, b)
    known = np.isfinite(apart)
    sure = known & (sd < np.sqrt(2) * SURE_RAD)
    pull = np.nan
    if known.any():
        in_stated_sd = np.abs(apart[known]) / own_sd[known]
        pull = float(np.median(in_stated_sd))
    sure_apart = 0.0
    if sure.any():
        is_apart = np.abs(apart[sure]) > SURE_RAD
        sure_apart = float(np.mean(is_apart))
    fitted = _well_fitted(a.residual) & _well_fitted(b.residual)
    latent_a = a.latent[fitted][:, a.living]
    latent_b = b.latent[fitted][:, b.living]
    return Agreement(
        angle_rad=apart,
        angle_sd=sd,
        pull=pull,
        sure_apart=sure_apart,
        correlations=canonical_correlations(latent_a, latent_b),
        same_kind=_same_kind(a.kind, b.kind),
    )


def _differences(a, b) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Differences of the angles (M,), their sd, and the rms of the two stated sd; NaN if unknown.

    Each pair of kinds has an order and an offset of its own.
    """
    apart = np.full(len(a), np.nan)
    sd = np.full(len(a), np.nan)
    own_sd = np.full(len(a), np.nan)
    for kind_a in np.unique(a.kind):
        for kind_b in np.unique(b.kind[a.kind == kind_a]):
            of_both = (a.kind == kind_a) & (b.kind == kind_b)
            rows = np.flatnonzero(of_both)
            first = rows[0]
            order = int(np.lcm(a.order[first], b.order[first]))
            if order == 0:
                continue
            difference = a.angle[rows] - b.angle[rows]
            offset = _offset(difference, order)
            apart[rows] = fold_angles(difference - offset, order)
            sd_a = a.folded_sd(order)[rows]
            sd_b = b.folded_sd(order)[rows]
            sd[rows] = np.hypot(sd_a, sd_b)
            both_sd = np.array([sd_a, sd_b])
            mean_square = np.mean(both_sd**2, axis=0)
            own_sd[rows] = np.sqrt(mean_square)
    return apart, sd, own_sd


def _well_fitted(residual: np.ndarray) -> np.ndarray:
    """Which sub-images (M,) bool a model fits about as well as most."""
    typical = np.median(residual)
    return residual <= WELL_FITTED * typical


def _offset(difference: np.ndarray, order: int) -> float:
    """The angle that most differences (N,) lie near, modulo 2 pi / order: a mode, not a mean,
    since where a third stands elsewhere a mean would lie between."""
    tries = np.arange(0, 2 * np.pi / order, FIT_RAD)
    near = []
    for offset in tries:
        rest = fold_angles(difference - offset, order)
        is_near = np.abs(rest) < SURE_RAD
        near.append(np.sum(is_near))
    most = int(np.argmax(near))
    best = tries[most]
    rest = fold_angles(difference - best, order)
    is_near = np.abs(rest) < 2 * SURE_RAD
    return best + np.median(rest[is_near])


def canonical_correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlations (min(p, q),) of the most alike directions of x (M, p) and y (M, q), the largest
    first (Hotelling 1936)."""
    if x.shape[1] == 0 or y.shape[1] == 0:
        return np.zeros(0)
    centred_x = x - x.mean(axis=0)
    centred_y = y - y.mean(axis=0)
    basis_x, _ = np.linalg.qr(centred_x)
    basis_y, _ = np.linalg.qr(centred_y)
    correlations = np.linalg.svd(basis_x.T @ basis_y, compute_uv=False)
    return np.clip(correlations, 0, 1)


def _same_kind(a: np.ndarray, b: np.ndarray) -> float:
    """Share of equal labels (M,), the labels of one matched to those of the other."""
    labels_a, number_a = np.unique(a, return_inverse=True)
    labels_b, number_b = np.unique(b, return_inverse=True)
    shape = (len(labels_a), len(labels_b))
    table = np.zeros(shape)
    np.add.at(table, (number_a, number_b), 1)
    matched = optimize.linear_sum_assignment(table, maximize=True)
    n_equal = table[matched].sum()
    return float(n_equal / len(a))
