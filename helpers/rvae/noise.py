"""How bright sub-images are, how noisy, and how much of that noise pixels share.

Offset and gain let a model that was trained on one image read another. In the noise, errors of
neighbouring pixels go together, as a scan moves whole lines, drifts, and is resampled. Treating
them as independent would make every error bar too small. The residuals tell by how much.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import optimize

from ..subimages.harmonics import DiskHarmonics, disk_mask

STRIP_PX = 4  # scan lines that are taken together
REACH_PX = 20  # lines farther apart than this jitter each on their own
WELL_FITTED = 1.5  # times the median misfit: what lies beyond is another motif, not noise
SAMPLE = 1000  # sub-images that are enough


@dataclass(frozen=True)
class Contrast:
    """Brightness and contrast of a stack, in the units of its pixels.

    Attributes
    ----------
    offset : float
        Median over the sub-images of their mean brightness.
    gain : float
        Median over the sub-images of the rms of their coefficients, the mean brightness left out.
    """

    offset: float
    gain: float

    @classmethod
    def of(cls, coefficients: np.ndarray, basis: DiskHarmonics) -> "Contrast":
        """Estimate both from coefficients (M, K); ValueError if there is no contrast at all."""
        # An image that is 1 everywhere has the norm as its first coefficient, and no other.
        offset = float(np.median(coefficients[:, 0]) / basis.norms[0])
        gain = float(np.sqrt(np.median((coefficients[:, 1:] ** 2).mean(axis=1))))
        if not gain > 1e-6 * max(abs(offset), 1e-30):
            raise ValueError(f"the sub-images are constant ({offset:g}): no motif; check the image")
        return cls(offset, gain)

    def remove(self, coefficients: np.ndarray, basis: DiskHarmonics) -> np.ndarray:
        """Coefficients (M, K) float32 with the offset at zero and the gain at one."""
        shifted = coefficients.astype(np.float32)
        shifted[:, 0] -= self.offset * basis.norms[0]
        return shifted / np.float32(self.gain)


@dataclass(frozen=True)
class Noise:
    """Of a stack of sub-images, in the units of their normalised coefficients.

    Attributes
    ----------
    sigma : float
        Standard deviation.
    overdispersion : float
        Factor, at least 1, by which variances are larger than if all pixels erred alone.
    shift_px : float
        How far motifs lie off the centre of their windows, rms along one axis.
    """

    sigma: float
    overdispersion: float
    shift_px: float

    @property
    def effective_sigma(self) -> float:
        """The standard deviation of independent noise that would do as much harm."""
        return self.sigma * self.overdispersion**0.5


@torch.no_grad()
def measure_noise(motifs, pieces, basis: DiskHarmonics, c, of_class) -> Noise:
    """Noise of normalised coefficients (M, K) of classes (M, n) about trained `motifs`."""
    some = slice(None, None, -(-len(c) // SAMPLE))
    c, of_class = c[some], of_class[some]
    upright = motifs.seen(pieces.upright(c)[0], pieces)
    z, series = motifs.propose(upright, of_class)[0], motifs.series
    g = motifs.draw(z, of_class)
    turned = series.rotate(g, series.best_angle(series.of(c, g)))
    moved = turned @ motifs.shifted.slopes  # (2, M, K)
    values = (c - turned, turned, series.slope(turned), moved.transpose(0, 1))
    noise = Noise(*_level(*(v.cpu().numpy() for v in values), basis), shift_px=np.nan)
    shift = motifs.shifted.typical_shift(c, g, c.new_tensor(noise.effective_sigma).log())
    return replace(noise, shift_px=float(shift.exp()))


def _level(residual, turned, slope, moved, basis: DiskHarmonics) -> tuple[float, float]:
    """Sigma and overdispersion of the noise, from what a model leaves unexplained.

    Two sources are told apart by the covariance they give the residuals: noise of each pixel
    for itself, and strips of scan lines that jitter, near ones alike. The best angle, shift
    and gain of each sub-image have swallowed part of both; the least squares over covariances
    know what, so that the slow jitter, which looks most like a turn and leaves least behind,
    is not overlooked. The overdispersion compares the variance of the angle's score, the
    overlap of noise and slope, with what independent noise would give.

    Parameters
    ----------
    residual : (M, K)
        Coefficients of the data less those of the fitted, turned motif.
    turned : (M, K)
        The turned motif itself.
    slope : (M, K)
        Its change with the angle, per radian.
    moved : (M, 2, K)
        Its change as it moves along rows and columns, per pixel.
    """
    misfit = np.mean(residual**2, axis=1)
    variance = np.median(misfit)
    good = misfit <= WELL_FITTED * variance
    residual, turned, slope, moved = (v[good] for v in (residual, turned, slope, moved))
    nuisance = np.concatenate([turned[:, None], moved], axis=1)
    slope = _without(slope[:, None], nuisance)  # (M, 1, K)
    strips = _moved_strips(moved, basis)  # (M, S, K)
    harm = (strips @ slope.swapaxes(1, 2))[..., 0]  # of each strip to the score, (M, S)
    strips = _without(strips, np.concatenate([nuisance, slope], axis=1))
    left = (strips @ residual[:, :, None])[..., 0]  # (M, S)
    overlap = strips @ strips.swapaxes(1, 2)  # (M, S, S)
    alike = _alike(strips.shape[1] // 2)
    patterns = [overlap, *(overlap @ pattern @ overlap for pattern in alike)]
    white, *jitter = _weights(left.T @ left / len(left), [p.mean(0) for p in patterns])
    independent = max((slope**2).sum(), 1e-30)  # 0 where nothing turns
    score = white * independent
    score += sum(v * np.sum((harm @ p) * harm) for v, p in zip(jitter, alike, strict=True))
    overdispersion = float(max(1.0, score / (variance * independent)))
    return float(np.sqrt(variance)), overdispersion


def _without(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Vectors (M, V, K) less their projections on others (M, N, K)."""
    basis = np.linalg.qr(np.swapaxes(others, 1, 2))[0]  # (M, K, N)
    return vectors - (vectors @ basis) @ np.swapaxes(basis, 1, 2)


def _moved_strips(moved: np.ndarray, basis: DiskHarmonics) -> np.ndarray:
    """Changes (M, S, K) as each strip of lines moves alone: along the rows, then the columns."""
    rows = np.nonzero(disk_mask(basis.window_px))[0]
    strip = rows * max(2, round(basis.window_px / STRIP_PX)) // basis.window_px  # (D,)
    functions = [basis.functions[:, strip == s] for s in range(strip.max() + 1)]
    return np.stack([m @ f @ f.T for m in np.swapaxes(moved, 0, 1) for f in functions], axis=1)


def _alike(n_strips: int) -> list[np.ndarray]:
    """Which strips (2 S, 2 S) lie a number of strips apart, for both directions of the jitter."""
    lags = range(min(REACH_PX // STRIP_PX, n_strips - 1) + 1)
    apart = np.abs(np.subtract.outer(np.arange(n_strips), np.arange(n_strips)))
    return [np.kron(np.diag(along), apart == lag) for along in ([1, 0], [0, 1]) for lag in lags]


def _weights(target: np.ndarray, patterns: list[np.ndarray]) -> np.ndarray:
    """Weights, none negative, of the patterns whose sum comes nearest to the target."""
    columns = np.stack([p.ravel() for p in patterns], axis=1).astype(np.float64)
    size = np.maximum(np.linalg.norm(columns, axis=0), 1e-30)
    return optimize.nnls(columns / size, target.ravel())[0] / size
