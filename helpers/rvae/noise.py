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
        first = np.median(coefficients[:, 0])
        offset = float(first / basis.norms[0])
        mean_square = (coefficients[:, 1:] ** 2).mean(axis=1)
        median_square = np.median(mean_square)
        gain = float(np.sqrt(median_square))
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
    stride = -(-len(c) // SAMPLE)
    c = c[::stride]
    of_class = of_class[::stride]
    upright, _ = pieces.upright(c)
    seen = motifs.seen(upright, pieces)
    z, _ = motifs.propose(seen, of_class)
    g = motifs.draw(z, of_class)
    series = motifs.series
    overlap = series.of(c, g)
    turned = series.rotate(g, series.best_angle(overlap))
    moved = turned @ motifs.shifted.slopes  # (2, M, K)
    moved = moved.transpose(0, 1)
    sigma, overdispersion = _level(
        residual=_as_array(c - turned),
        turned=_as_array(turned),
        slope=_as_array(series.slope(turned)),
        moved=_as_array(moved),
        basis=basis,
    )
    noise = Noise(sigma, overdispersion, shift_px=np.nan)
    effective_sigma = c.new_tensor(noise.effective_sigma)
    log_shift = motifs.shifted.typical_shift(c, g, effective_sigma.log())
    return replace(noise, shift_px=float(log_shift.exp()))


def _as_array(values: torch.Tensor) -> np.ndarray:
    return values.cpu().numpy()


def _level(
    residual: np.ndarray,
    turned: np.ndarray,
    slope: np.ndarray,
    moved: np.ndarray,
    basis: DiskHarmonics,
) -> tuple[float, float]:
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
    residual = residual[good]
    moved = moved[good]
    motif = turned[good][:, None]
    nuisance = np.concatenate([motif, moved], axis=1)
    slope = slope[good][:, None]
    slope = _without(slope, nuisance)  # (M, 1, K)
    strips = _moved_strips(moved, basis)  # (M, S, K)
    harm = (strips @ slope.swapaxes(1, 2))[..., 0]  # of each strip to the score, (M, S)
    swallowed = np.concatenate([nuisance, slope], axis=1)
    strips = _without(strips, swallowed)
    left = (strips @ residual[:, :, None])[..., 0]  # (M, S)
    alike = _alike(strips.shape[1] // 2)
    white, *jitter = _sources(left, strips, alike)
    independent = max((slope**2).sum(), 1e-30)  # 0 where nothing turns
    score = white * independent
    score += _jitter_score(harm, jitter, alike)
    ratio = score / (variance * independent)
    overdispersion = max(1.0, ratio)
    sigma = np.sqrt(variance)
    return float(sigma), float(overdispersion)


def _sources(left: np.ndarray, strips: np.ndarray, alike: list[np.ndarray]) -> np.ndarray:
    """Strength of the noise of each pixel for itself, then of each pattern of jitter.

    `left` (M, S) are the overlaps of the residuals with the `strips` (M, S, K).
    """
    overlap = strips @ strips.swapaxes(1, 2)  # (M, S, S)
    patterns = [overlap]
    for pattern in alike:
        patterns.append(overlap @ pattern @ overlap)
    means = [pattern.mean(0) for pattern in patterns]
    covariance = left.T @ left / len(left)
    return _weights(covariance, means)


def _jitter_score(harm: np.ndarray, jitter: list[float], alike: list[np.ndarray]) -> float:
    """What strips that jitter add to the variance of the score, from the harm (M, S) of each."""
    total = 0
    for weight, pattern in zip(jitter, alike, strict=True):
        harm_of_pattern = (harm @ pattern) * harm
        total += weight * np.sum(harm_of_pattern)
    return total


def _without(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Vectors (M, V, K) less their projections on others (M, N, K)."""
    columns = np.swapaxes(others, 1, 2)
    basis, _ = np.linalg.qr(columns)  # (M, K, N)
    rows = np.swapaxes(basis, 1, 2)
    return vectors - (vectors @ basis) @ rows


def _moved_strips(moved: np.ndarray, basis: DiskHarmonics) -> np.ndarray:
    """Changes (M, S, K) as each strip of lines moves alone: along the rows, then the columns."""
    in_disk = disk_mask(basis.window_px)
    rows, _ = np.nonzero(in_disk)
    n_strips = max(2, round(basis.window_px / STRIP_PX))
    strip = rows * n_strips // basis.window_px  # (D,)
    functions = [basis.functions[:, strip == s] for s in range(strip.max() + 1)]
    strips = []
    for change in np.swapaxes(moved, 0, 1):  # (M, K)
        strips += [change @ f @ f.T for f in functions]
    return np.stack(strips, axis=1)


def _alike(n_strips: int) -> list[np.ndarray]:
    """Which strips (2 S, 2 S) lie a number of strips apart, for both directions of the jitter."""
    largest_lag = min(REACH_PX // STRIP_PX, n_strips - 1)
    lags = range(largest_lag + 1)
    strip = np.arange(n_strips)
    apart = np.abs(strip[:, None] - strip)
    patterns = []
    for along in ([1, 0], [0, 1]):
        direction = np.diag(along)
        patterns += [np.kron(direction, apart == lag) for lag in lags]
    return patterns


def _weights(target: np.ndarray, patterns: list[np.ndarray]) -> np.ndarray:
    """Weights, none negative, of the patterns whose sum comes nearest to the target."""
    flat = [pattern.ravel() for pattern in patterns]
    columns = np.stack(flat, axis=1)
    columns = columns.astype(np.float64)
    length = np.linalg.norm(columns, axis=0)
    size = np.maximum(length, 1e-30)
    weights, _ = optimize.nnls(columns / size, target.ravel())
    return weights / size
