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
        found = ", ".join(f"{value:.2f}" for value in self.correlations) or "none"
        median_deg = np.degrees(np.nanmedian(np.abs(self.angle_rad)))
        return (
            f"angles differ by {median_deg:.2f}° (median, {self.pull:.2f} stated sd)\n"
            f"of those that both call sure, {self.sure_apart:.1%} are over 5° apart\n"
            f"canonical correlations of the living latents: {found}\n"
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
    apart = np.full(len(a), np.nan)
    sd = np.full(len(a), np.nan)
    own_sd = np.full(len(a), np.nan)
    for kind_a in np.unique(a.kind):
        for kind_b in np.unique(b.kind[a.kind == kind_a]):
            rows = np.flatnonzero((a.kind == kind_a) & (b.kind == kind_b))
            order = int(np.lcm(a.order[rows[0]], b.order[rows[0]]))
            if order == 0:
                continue
            difference = a.angle[rows] - b.angle[rows]
            apart[rows] = fold_angles(difference - _offset(difference, order), order)
            each = np.array([a.folded_sd(order)[rows], b.folded_sd(order)[rows]])
            sd[rows] = np.hypot(*each)
            own_sd[rows] = np.sqrt(np.mean(each**2, axis=0))
    known = np.isfinite(apart)
    fitted = _well_fitted(a.residual) & _well_fitted(b.residual)
    latents = a.latent[fitted][:, a.living], b.latent[fitted][:, b.living]
    sure = known & (sd < np.sqrt(2) * SURE_RAD)
    return Agreement(
        angle_rad=apart,
        angle_sd=sd,
        pull=float(np.median(np.abs(apart[known]) / own_sd[known])) if known.any() else np.nan,
        sure_apart=float(np.mean(np.abs(apart[sure]) > SURE_RAD)) if sure.any() else 0.0,
        correlations=canonical_correlations(*latents),
        same_kind=_same_kind(a.kind, b.kind),
    )


def _well_fitted(residual: np.ndarray) -> np.ndarray:
    """Which sub-images (M,) bool a model fits about as well as most."""
    return residual <= WELL_FITTED * np.median(residual)


def _offset(difference: np.ndarray, order: int) -> float:
    """The angle that most differences (N,) lie near, modulo 2 pi / order: a mode, not a mean,
    since where a third stands elsewhere a mean would lie between."""
    tries = np.arange(0, 2 * np.pi / order, FIT_RAD)
    near = [np.sum(np.abs(fold_angles(difference - t, order)) < SURE_RAD) for t in tries]
    best = tries[int(np.argmax(near))]
    rest = fold_angles(difference - best, order)
    return best + np.median(rest[np.abs(rest) < 2 * SURE_RAD])


def canonical_correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlations (min(p, q),) of the most alike directions of x (M, p) and y (M, q), the largest
    first (Hotelling 1936)."""
    if x.shape[1] == 0 or y.shape[1] == 0:
        return np.zeros(0)
    bases = [np.linalg.qr(values - values.mean(axis=0))[0] for values in (x, y)]
    return np.clip(np.linalg.svd(bases[0].T @ bases[1], compute_uv=False), 0, 1)


def _same_kind(a: np.ndarray, b: np.ndarray) -> float:
    """Share of equal labels (M,), the labels of one matched to those of the other."""
    number_a, number_b = (np.unique(kind, return_inverse=True)[1] for kind in (a, b))
    table = np.zeros((number_a.max() + 1, number_b.max() + 1))
    np.add.at(table, (number_a, number_b), 1)
    matched = optimize.linear_sum_assignment(table, maximize=True)
    return float(table[matched].sum() / len(a))
