"""One Gaussian to each atomic column, all columns of an image in one batch.

The model of a column is ``amplitude * exp(-r**2 / (2 sigma**2)) + background``. Parameters of N
columns form one array (N, 5): row, column, amplitude, sigma, background, in pixels and in the units
of the image. Within this module the image has a margin of pixels that are NaN, and positions count
from its corner, so that a window at the border is a window like all others.
"""

import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree

AMPLITUDE, SIGMA, BACKGROUND = 2, 3, 4  # after row and column
WINDOW_SIGMAS = 2.7  # half a window: it then holds over 0.9 of what is known of the position
REACH_SIGMAS = 4.0  # tails of neighbours are followed down to exp(-8) of their height
SIGMA_LIMITS = (0.4, 3.0)  # in units of the starting value
STEP_DONE_PX = 2e-3
LARGEST_STEP_PX = 1.0
CROWD_SIGMAS = 4.5  # neighbours nearer than this add to the error of a column
CROWD = 4  # so many of them
CHUNK = 256  # columns at a time: their derivatives then stay in the processor's cache
NOISE_COLUMNS = 2000  # windows enough to measure the noise on
NOISE_CLASSES = 24
EVEN_NOISE = (1.0, 0.0, 0.0)  # variance of a pixel: floor + gain * intensity, and its least value


def fit_gaussians(image, start, *, half_width, steps=16) -> tuple[np.ndarray, np.ndarray]:
    """Fit all columns at once by Levenberg-Marquardt, weighted by one over the noise variance.

    A first round with equal weights gives the widths and, from its residuals, the noise: variance
    ``a + b * intensity``, so the gain of the detector need not be known. The second round weights
    by it and follows the model as it moves, which for counts is the maximum of the Poisson
    likelihood. Before every step the neighbours, drawn from their current parameters, are taken
    away from each window.

    Parameters
    ----------
    image : (H, W) float array
    start : (N, 5) array
        Starting parameters; every position lies inside the image.
    half_width : int
        The first round fits a column to (2 half_width + 1)**2 pixels, the second to a window of
        2.7 sigma to either side; pixels outside the image have no weight.
    steps : int
        Largest number of steps in the second round; half of it in the first.

    Returns
    -------
    parameters : (N, 5) array
    errors : (N, 5) array
        Standard errors. They follow from the curvature at the solution, near neighbours included,
        and suppose noise that is independent from pixel to pixel.
    """
    limits = start[:, SIGMA] * np.array(SIGMA_LIMITS)[:, None]
    pad = max(half_width, int(np.ceil(REACH_SIGMAS * limits.max())))
    zero = float(np.median(image))  # float32 sums lose their digits under a large constant
    origin = np.array([pad, pad, 0, 0, -zero])
    parameters = start + origin
    image = np.pad((image - zero).astype(np.float32), pad, constant_values=np.nan)
    noise = EVEN_NOISE
    for most in (steps // 2, steps):
        last = np.array(image.shape) - 1 - pad
        centre = np.clip(np.rint(parameters[:, :2]), pad, last).astype(np.intp)
        drawn = np.zeros_like(image)
        reach = _reach(parameters, REACH_SIGMAS)
        _draw(drawn, parameters, centre, reach)
        _fit_round(
            image,
            drawn,
            parameters,
            centre,
            half_width,
            reach=reach,
            limits=limits,
            noise=noise,
            steps=most,
        )
        noise = _noise_of_residuals(image, drawn, parameters, centre, half_width)
        half_width = max(2, _reach(parameters, WINDOW_SIGMAS))
    errors = _standard_errors(image, drawn, parameters, centre, half_width, noise=noise)
    return parameters - origin, errors


def _reach(parameters, sigmas):
    return int(np.ceil(sigmas * np.median(parameters[:, SIGMA])))


def _parts(which):
    """Consecutive parts of an array of indices, each of at most CHUNK."""
    return np.array_split(which, len(which) // CHUNK + 1)


def _cut(image, centre, half):
    """Pixels (n, w * w) of the windows that reach `half` a width around whole-pixel centres."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (2 * half + 1, 2 * half + 1))
    return windows[tuple((centre - half).T)].reshape(len(centre), -1)


def _shapes(parameters, centre, half):
    """Gaussians of height one (n, w, w), and distances (n, w, 1) and (n, 1, w) from them."""
    offset = np.arange(-half, half + 1)
    distance = (offset - (parameters[:, :2] - centre)[..., None]).astype(np.float32)  # (n, 2, w)
    profile = np.exp(-(distance**2) / (2 * _float32(parameters, SIGMA) ** 2))
    row, col = distance[:, 0, :, None], distance[:, 1, None, :]
    return profile[:, 0, :, None] * profile[:, 1, None, :], row, col


def _gaussians(parameters, centre, half):
    """The columns without their backgrounds, (n, w, w)."""
    return _shapes(parameters, centre, half)[0] * _float32(parameters, AMPLITUDE)


def _float32(parameters, which):
    return parameters[:, which, None, None].astype(np.float32)


def derivatives(parameters, centre, half):
    """Derivatives (n, 5, w * w) of the model by row, column, amplitude, sigma and background."""
    shape, row, col = _shapes(parameters, centre, half)
    sigma = _float32(parameters, SIGMA)
    result = np.ones((len(shape), 5, *shape.shape[1:]), np.float32)
    result[:, AMPLITUDE] = shape
    shape *= _float32(parameters, AMPLITUDE) / sigma**2
    result[:, 0] = shape * row
    result[:, 1] = shape * col
    result[:, SIGMA] = (result[:, 0] * row + result[:, 1] * col) / sigma
    return result.reshape(len(shape), 5, -1)


def _draw(drawn, parameters, centre, reach, before=None):
    """Add columns without their backgrounds to an image, in the place of what they were before."""
    for part in _parts(np.arange(len(parameters))):
        pieces = _gaussians(parameters[part], centre[part], reach)
        if before is not None:
            pieces -= _gaussians(before[part], centre[part], reach)
        for (row, col), piece in zip((centre[part] - reach).tolist(), pieces, strict=True):
            drawn[row : row + 2 * reach + 1, col : col + 2 * reach + 1] += piece


def _compare(image, drawn, parameters, centre, half, *, noise):
    """Model, residual and weight (n, w * w) of some columns, the last two 0 off the image."""
    model = _cut(drawn, centre, half) + parameters[:, BACKGROUND, None].astype(np.float32)
    residual = _cut(image, centre, half) - model
    outside = np.isnan(residual)
    residual[outside] = 0
    floor, gain, least = noise
    return model, residual, ~outside / np.maximum(floor + gain * model, least)


def _fit_round(image, drawn, parameters, centre, half, *, reach, limits, noise, steps):
    """Move columns, in place, until none moves any more or the steps are used up."""
    damping = np.full(len(parameters), 1e-2)
    active = np.arange(len(parameters))
    for _ in range(steps):
        before, moving = parameters.copy(), []
        for part in _parts(active):
            old, frame = parameters[part], (centre[part], half)
            _, residual, weight = _compare(image, drawn, old, *frame, noise=noise)
            restraint = {"damping": damping[part], "limits": limits[:, part]}
            new, gain = _step(old, frame, residual, weight, **restraint)
            better = gain >= 0
            damping[part] *= np.where(better, 0.1, 10)
            parameters[part[better]] = new[better]
            moved = np.abs(new - old)[:, :2].max(axis=1)
            moving.append(part[~better | (moved > STEP_DONE_PX)])
        _draw(drawn, parameters[active], centre[active], reach, before[active])
        active = np.concatenate(moving)
        if len(active) == 0:
            break


def _step(old, frame, residual, weight, *, damping, limits):
    """One damped step of each column, and by how much the weighted sum of squares then falls."""
    slopes = derivatives(old, *frame)
    normal = curvature(slopes, weight, damping[:, None, None])
    slope = (slopes @ (weight * residual)[..., None]).astype(np.float64)  # (n, 5, 1)
    step = np.linalg.solve(normal, slope)[..., 0]
    step[:, :2] = np.clip(step[:, :2], -LARGEST_STEP_PX, LARGEST_STEP_PX)
    new = old + step
    new[:, SIGMA] = np.clip(new[:, SIGMA], *limits)
    change = _gaussians(new, *frame) + _float32(new - old, BACKGROUND)
    change = change.reshape(residual.shape) - _float32(old, AMPLITUDE)[:, 0] * slopes[:, AMPLITUDE]
    return new, np.einsum("nk,nk,nk->n", weight, change, 2 * residual - change)


def curvature(slopes, weight, damping=0.0):
    """Products (n, p, p) of derivatives (n, p, K), damped and kept from being singular."""
    normal = (slopes * weight[:, None]) @ slopes.transpose(0, 2, 1)
    one = np.eye(slopes.shape[1])
    return normal.astype(np.float64) * (1 + (damping + 1e-6) * one) + 1e-30 * one


def _noise_of_residuals(image, drawn, parameters, centre, half):
    """Fit ``a + b * intensity`` to the squared residuals, averaged in classes of intensity."""
    some = slice(None, None, 1 + len(parameters) // NOISE_COLUMNS)
    columns = parameters[some], centre[some]
    model, residual, weight = _compare(image, drawn, *columns, half, noise=EVEN_NOISE)
    inside = weight > 0
    used = inside.sum() / len(model)
    squared = residual[inside] ** 2 * used / max(used - 5, 1)  # five parameters follow the noise
    model = model[inside]
    classes = np.array_split(np.argsort(model), min(NOISE_CLASSES, len(model)))
    level, spread = (np.array([v[one].mean() for one in classes]) for v in (model, squared))
    spread += 1e-30
    terms = np.stack([np.ones(len(level)), level - level[0]], axis=1)
    (floor, gain), _ = nnls(terms / spread[:, None], np.ones(len(level)))
    return floor - gain * level[0], gain, max(1e-2 * squared.mean(), 1e-30)


def _standard_errors(image, drawn, parameters, centre, half, *, noise):
    """Errors (N, 5) from the joint curvature of each column and its near neighbours."""
    limit = CROWD_SIGMAS * np.median(parameters[:, SIGMA])
    tree = cKDTree(parameters[:, :2])
    crowd = tree.query(tree.data, k=CROWD + 1, distance_upper_bound=limit)[1][:, 1:]
    everybody = np.vstack([parameters, [1e6, 1e6, 0, 1, 0]])  # the last where neighbours lack

    def errors_of(part):
        frame = centre[part], half
        weight = _compare(image, drawn, parameters[part], *frame, noise=noise)[2]
        near = [one for one in crowd[part].T if one.min() < len(parameters)]
        slopes = [derivatives(parameters[part], *frame)]
        slopes += [derivatives(everybody[one], *frame)[:, :BACKGROUND] for one in near]
        normal = curvature(np.concatenate(slopes, axis=1), weight)
        return np.sqrt(np.einsum("nii->ni", np.linalg.inv(normal))[:, :5])

    return np.concatenate([errors_of(part) for part in _parts(np.arange(len(parameters)))])
