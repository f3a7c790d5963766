"""One Gaussian to each atomic column, all columns of an image in one batch.

The model of a column is ``amplitude * exp(-r**2 / (2 sigma**2)) + background``. Parameters of N
columns form one array (N, 5): row, column, amplitude, sigma, background, in pixels and in the units
of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

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


class GaussianFit(NamedTuple):
    """Fitted parameters (N, 5) and their standard errors (N, 5)."""

    parameters: np.ndarray
    errors: np.ndarray


class _Noise(NamedTuple):
    """Variance of a pixel: ``floor + gain * (intensity - bottom)``, never below `least`."""

    floor: float = 1.0
    gain: float = 0.0
    bottom: float = 0.0
    least: float = 1e-30

    def variance(self, intensity: np.ndarray) -> np.ndarray:
        return np.maximum(self.floor + self.gain * (intensity - self.bottom), self.least)


class _Windows(NamedTuple):
    """Square neighbourhoods of N columns, w pixels wide, in an image padded by `pad`."""

    centre: np.ndarray  # (N, 2) whole pixels of the image
    offset: np.ndarray  # (w,)
    pad: int
    shape: tuple[int, int]  # of the padded image

    def index(self, part=slice(None), offset=None) -> np.ndarray:
        """Where the pixels (n, w * w) of some columns lie in the raveled padded image."""
        offset = self.offset if offset is None else offset
        row, col = (self.centre[part] + self.pad).T
        within = (offset[:, None] * self.shape[1] + offset).ravel()
        return (row * self.shape[1] + col)[:, None] + within


def fit_gaussians(
    image: np.ndarray, start: np.ndarray, *, half_width: int, steps: int = 16
) -> GaussianFit:
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
    GaussianFit
        Errors follow from the curvature at the solution, near neighbours included, and suppose
        noise that is independent from pixel to pixel.
    """
    zero = float(np.median(image))  # float32 sums lose their digits under a large constant
    image = (image - zero).astype(np.float32)
    parameters = np.array(start, dtype=np.float64)
    parameters[:, BACKGROUND] -= zero
    limits = parameters[:, SIGMA] * np.array(SIGMA_LIMITS)[:, None]
    noise = _Noise()
    for most in (steps // 2, steps):
        windows = _windows(image.shape, parameters, half_width)
        parameters = _fit_round(image, windows, parameters, limits, noise, most)
        noise = _noise_of_residuals(image, windows, parameters)
        half_width = max(2, _reach(parameters, WINDOW_SIGMAS))
    errors = _standard_errors(image, parameters, noise)
    parameters[:, BACKGROUND] += zero
    return GaussianFit(parameters, errors)


def _reach(parameters, sigmas):
    return int(np.ceil(sigmas * np.median(parameters[:, SIGMA])))


def _windows(shape, parameters, half_width):
    centre = np.rint(parameters[:, :2]).astype(np.intp)
    centre = np.clip(centre, 0, np.array(shape) - 1)
    pad = max(half_width, _reach(parameters, REACH_SIGMAS))
    padded = (shape[0] + 2 * pad, shape[1] + 2 * pad)
    return _Windows(centre, np.arange(-half_width, half_width + 1), pad, padded)


def _by_chunks(function: Callable, which: np.ndarray) -> Iterable:
    """Results of `function` for consecutive parts of `which`, in order."""
    return (function(which[i : i + CHUNK]) for i in range(0, len(which), CHUNK))


def _shape_and_distance(parameters, centre, offset):
    """Gaussians of height one (n, w, w) and the distances (n, w) along rows and columns."""
    distance = (offset - (parameters[:, :2] - centre)[..., None]).astype(np.float32)  # (n, 2, w)
    width = parameters[:, SIGMA, None, None].astype(np.float32)
    profile = np.exp(-(distance**2) / (2 * width**2))
    return profile[:, 0, :, None] * profile[:, 1, None, :], distance[:, 0], distance[:, 1]


def _gaussians(parameters, centre, offset):
    """The columns without their backgrounds, (n, w * w)."""
    shape, _, _ = _shape_and_distance(parameters, centre, offset)
    shape *= parameters[:, AMPLITUDE, None, None].astype(np.float32)
    return shape.reshape(len(parameters), -1)


def _draw(windows, parameters):
    """Sum of all columns without their backgrounds: the padded image, raveled."""
    offset = np.arange(-windows.pad, windows.pad + 1)

    def part_of_image(part):
        index = windows.index(part, offset)
        drawn = _gaussians(parameters[part], windows.centre[part], offset)
        low = index.min()
        return low, np.bincount((index - low).ravel(), drawn.ravel())

    total = np.zeros(windows.shape).ravel()
    for low, piece in _by_chunks(part_of_image, np.arange(len(parameters))):
        total[low : low + len(piece)] += piece
    return total.astype(np.float32)


def _fit_round(image, windows, parameters, limits, noise, steps):
    parameters = parameters.copy()
    data = np.pad(image, windows.pad).ravel()
    inside = np.pad(np.ones_like(image), windows.pad).ravel()
    damping = np.full(len(parameters), 1e-2)

    def step_of(part):
        index = windows.index(part)
        old = parameters[part]
        model = drawn[index] + old[:, BACKGROUND, None].astype(np.float32)
        weight = inside[index] / noise.variance(model)
        residual = data[index] - model
        frame = windows.centre[part], windows.offset
        new, better = _step(old, frame, residual, weight, damping[part], limits[:, part])
        return new, better

    active = np.arange(len(parameters))
    for _ in range(steps):
        drawn = _draw(windows, parameters)
        new, better = map(np.concatenate, zip(*_by_chunks(step_of, active), strict=True))
        moved = np.abs(new - parameters[active])[:, :2].max(axis=1)
        parameters[active] = new
        damping[active] *= np.where(better, 0.1, 10)
        active = active[~better | (moved > STEP_DONE_PX)]
        if len(active) == 0:
            break
    return parameters


def _derivatives(parameters, centre, offset):
    """Derivatives (n, 5, w * w) of the model by row, column, amplitude, sigma and background."""
    shape, row, col = _shape_and_distance(parameters, centre, offset)
    amplitude, sigma = (parameters[:, i, None, None].astype(np.float32) for i in (2, 3))
    result = np.empty((len(shape), 5, *shape.shape[1:]), np.float32)
    result[:, AMPLITUDE] = shape
    shape = shape * (amplitude / sigma**2)
    np.multiply(shape, row[:, :, None], out=result[:, 0])
    np.multiply(shape, col[:, None, :], out=result[:, 1])
    result[:, SIGMA] = result[:, 0] * row[:, :, None] + result[:, 1] * col[:, None, :]
    result[:, SIGMA] /= sigma
    result[:, BACKGROUND] = 1
    return result.reshape(len(shape), 5, -1)


def _curvature(weighted, slopes):
    """Products (n, p, p) of derivatives (n, p, K), kept from being singular."""
    curvature = (weighted @ slopes.transpose(0, 2, 1)).astype(np.float64)
    diagonal = np.einsum("nii->ni", curvature)
    diagonal += 1e-6 * diagonal + 1e-30
    return curvature


def _step(old, frame, residual, weight, damping, limits):
    """One damped step of each column; those that it would make worse stay where they are."""
    slopes = _derivatives(old, *frame)
    weighted = slopes * weight[:, None, :]
    damped = _curvature(weighted, slopes) * (1 + damping[:, None, None] * np.eye(5))
    slope = (weighted @ residual[..., None]).astype(np.float64)  # (n, 5, 1)
    step = np.linalg.solve(damped, slope)[..., 0]
    step[:, :2] = np.clip(step[:, :2], -LARGEST_STEP_PX, LARGEST_STEP_PX)
    new = old + step
    new[:, SIGMA] = np.clip(new[:, SIGMA], *limits)
    change = _gaussians(new, *frame) - _gaussians(old, *frame)
    change += (new - old)[:, BACKGROUND, None].astype(np.float32)
    gain = np.einsum("nk,nk,nk->n", weight, change, 2 * residual - change)
    better = gain >= 0
    return np.where(better[:, None], new, old), better


def _noise_of_residuals(image, windows, parameters):
    """Fit ``a + b * intensity`` to the squared residuals, averaged in classes of intensity."""
    part = np.linspace(0, len(parameters) - 1, min(len(parameters), NOISE_COLUMNS)).astype(int)
    index = windows.index(part)
    model = _draw(windows, parameters)[index] + parameters[part, BACKGROUND, None]
    data = np.pad(image, windows.pad, constant_values=np.nan).ravel()[index]
    known = np.isfinite(data)
    squared, model = (data - model)[known] ** 2, model[known]
    edges = np.quantile(model, np.linspace(0, 1, NOISE_CLASSES + 1)[1:-1])
    group = np.searchsorted(edges, model)
    count = np.maximum(np.bincount(group, minlength=NOISE_CLASSES), 1)
    level = np.bincount(group, model, NOISE_CLASSES) / count
    spread = np.bincount(group, squared, NOISE_CLASSES) / count + 1e-30
    terms = np.stack([np.ones(NOISE_CLASSES), level - level.min()], axis=1)
    (floor, gain), _ = nnls(terms / spread[:, None], np.ones(NOISE_CLASSES))
    used = known.sum() / len(part)
    lost = used / max(used - 5, 1)  # five parameters follow the noise of each window
    least = max(1e-2 * squared.mean(), 1e-30)
    return _Noise(floor * lost, gain * lost, level.min(), least)


def _standard_errors(image, parameters, noise):
    """Errors (N, 5) from the joint curvature of each column and its near neighbours."""
    windows = _windows(image.shape, parameters, _reach(parameters, WINDOW_SIGMAS))
    inside = np.pad(np.ones_like(image), windows.pad).ravel()
    drawn = _draw(windows, parameters)
    crowd = _crowd(parameters)
    nobody = [[1e6, 1e6, 0.0, 1.0, 0.0]]  # too far away to matter
    everybody = np.concatenate([parameters, nobody])

    def errors_of(part):
        frame = windows.centre[part], windows.offset
        index = windows.index(part)
        model = drawn[index] + parameters[part, BACKGROUND, None].astype(np.float32)
        weight = inside[index] / noise.variance(model)
        near = crowd[part]
        near = near[:, (near < len(parameters)).any(axis=0)].T
        slopes = [_derivatives(parameters[part], *frame)]
        slopes += [_derivatives(everybody[one], *frame)[:, :BACKGROUND] for one in near]
        slopes = np.concatenate(slopes, axis=1)
        curvature = _curvature(slopes * weight[:, None, :], slopes)
        return np.sqrt(np.einsum("nii->ni", np.linalg.inv(curvature))[:, :5])

    order = np.argsort((crowd < len(parameters)).sum(axis=1), kind="stable")
    errors = np.empty_like(parameters)
    errors[order] = np.concatenate(list(_by_chunks(errors_of, order)))
    return errors


def _crowd(parameters):
    """Indices (N, CROWD) of the nearest neighbours within reach; N where there are fewer."""
    limit = CROWD_SIGMAS * np.median(parameters[:, SIGMA])
    tree = cKDTree(parameters[:, :2])
    return tree.query(parameters[:, :2], k=CROWD + 1, distance_upper_bound=limit)[1][:, 1:]
