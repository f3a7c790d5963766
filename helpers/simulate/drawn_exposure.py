"""How a training image is recorded: peaks, lens, the ground below, the scan, the counts."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

from .drawing import Drawing
from .lattices import render_columns

SMALLEST_SIGMA_PX = 0.3


def peaks(drawing: Drawing) -> np.ndarray:
    """One Gaussian for each column; those of the light ones may be narrower."""
    rng = drawing.rng
    columns = drawing.columns
    mean_px = drawing.spacing_px * rng.uniform(0.14, 0.34)
    unevenness = rng.normal(size=len(columns))
    sigma_px = mean_px * (1 + 0.06 * unevenness)
    is_light = columns[:, 3] > 0
    sigma_px = sigma_px * np.where(is_light, rng.uniform(0.85, 1.1), 1)
    sigma_px = np.maximum(sigma_px, SMALLEST_SIGMA_PX)
    return render_columns(drawing.shape, columns[:, :2], columns[:, 2], sigma_px)


def lens(drawing: Drawing, image: np.ndarray) -> np.ndarray:
    """Tails of the probe, astigmatism or a small tilt, a halo of defocus."""
    rng = drawing.rng
    spacing = drawing.spacing_px
    if drawing.chance(0.4):
        share = rng.uniform(0, 0.5)
        tail_px = rng.uniform(0.5, 1.2) * spacing
        wide = ndimage.gaussian_filter(image, tail_px)
        image = (1 - share) * image + share * wide
    if drawing.chance(0.3):
        image = _smeared(drawing, image)
    if drawing.chance(0.15):
        blurred = ndimage.gaussian_filter(image, 0.25 * spacing)
        strength = rng.uniform(0, 0.8)
        image = image + strength * (image - blurred)
    return image


def _smeared(drawing: Drawing, image: np.ndarray) -> np.ndarray:
    """Each point becomes a short line along one direction."""
    length_px = drawing.rng.uniform(0, 0.4) * drawing.spacing_px
    direction = drawing.direction()
    along = np.linspace(-0.5, 0.5, 5)
    offsets_px = along[:, None] * length_px * direction
    moved = [ndimage.shift(image, offset, order=1, mode="nearest") for offset in offsets_px]
    return np.mean(moved, axis=0)


def ground(drawing: Drawing, image: np.ndarray) -> np.ndarray:
    """Even level, slow ramp, contamination, an amorphous film, texture of all sizes."""
    rng = drawing.rng
    shape = drawing.shape
    rows, cols = np.ogrid[-0.5 : 0.5 : shape[0] * 1j, -0.5 : 0.5 : shape[1] * 1j]
    slope = rng.uniform(-0.8, 0.8, 2)
    level = 10 ** rng.uniform(-1.5, 0.45)
    image = image + level * (1 + slope[0] * rows + slope[1] * cols)
    n_blobs = drawing.how_often(0.3, 1, 5)
    for _ in range(n_blobs):
        image += _blob(drawing)
    if drawing.chance(0.35):
        image += _film(drawing)
    if drawing.chance(0.15):
        contrast = rng.uniform(0, 0.8)
        image += contrast * _fractal(shape, rng)
    if drawing.chance(0.1):
        image += _step(drawing, rows, cols)
    return image


def _blob(drawing: Drawing) -> np.ndarray:
    """A round spot of contamination."""
    rng = drawing.rng
    centre = rng.uniform(0, 1, (1, 2)) * drawing.shape
    width_px = drawing.spacing_px * rng.uniform(0.6, 5)
    height = rng.uniform(0.1, 2)
    return render_columns(drawing.shape, centre, height, width_px)


def _film(drawing: Drawing) -> np.ndarray:
    """An amorphous film: noise of one grain size."""
    rng = drawing.rng
    log_ratio = rng.uniform(-2, 0.5)
    grain_px = drawing.spacing_px * np.exp(log_ratio)
    contrast = rng.uniform(0, 0.25)
    noise = rng.normal(size=drawing.shape)
    film = ndimage.gaussian_filter(noise, grain_px)
    return contrast * _unit(film)


def _fractal(shape, rng) -> np.ndarray:
    """Noise with the power spectrum of photographs."""
    height, width = shape
    along_rows = np.fft.fftfreq(height)
    along_cols = np.fft.fftfreq(width)
    frequency = np.hypot(along_rows[:, None], along_cols)
    frequency[0, 0] = np.inf
    noise = rng.normal(size=shape)
    spectrum = np.fft.fft2(noise)
    exponent = rng.uniform(0.7, 1.6)
    spectrum = spectrum / frequency**exponent
    return _unit(np.fft.ifft2(spectrum).real)


def _step(drawing: Drawing, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """A support's rim, or a step."""
    rng = drawing.rng
    direction = drawing.direction()
    across = rows * direction[0] + cols * direction[1] - rng.uniform(-0.4, 0.4)
    height = rng.uniform(-0.7, 1.5)
    width_px = rng.uniform(0.5, 8)
    return height / (1 + np.exp(-across * drawing.shape[0] / width_px))


def _unit(values: np.ndarray) -> np.ndarray:
    return values / values.std()


def scan(drawing: Drawing, image: np.ndarray) -> np.ndarray:
    """Line jitter with a memory, a fly-back that drags, streaks from line to line."""
    rng = drawing.rng
    n_rows = drawing.shape[0]
    if drawing.chance(0.5):
        memory = rng.uniform(0, 0.9)
        size_px = rng.uniform(0, 0.07) * drawing.spacing_px
        innovation = np.sqrt(1 - memory**2)
        noise = rng.normal(size=n_rows) * size_px * innovation
        shift_px = signal.lfilter([1.0], [1.0, -memory], noise)
        rows, cols = np.indices(image.shape)
        places = [rows, cols + shift_px[:, None]]
        image = ndimage.map_coordinates(image, places, order=1, mode="nearest")
    if drawing.chance(0.15):
        contrast = rng.uniform(0, 0.1)
        streaks = rng.normal(size=(n_rows, 1))
        image = image * (1 + contrast * streaks)
    return image


def record(drawing: Drawing, image: np.ndarray, peak_counts: float | None) -> np.ndarray:
    """Counts, read-out noise, a filter, saturation and few levels; gain and offset."""
    rng = drawing.rng
    if peak_counts is None:
        peak_counts = 10 ** _dose_exponent(drawing)
    expected = np.maximum(image, 0) * peak_counts
    image = rng.poisson(expected).astype(np.float32)
    if drawing.chance(0.2):
        spread = rng.uniform(0, 0.3) * image.std()
        image += spread * rng.normal(size=image.shape)
    if drawing.chance(0.2):  # smoothed, or resampled as aligned frames are
        blur_px = rng.uniform(0.4, 1.2)
        image = ndimage.gaussian_filter(image, blur_px)
    if drawing.chance(0.08):
        percentage = rng.uniform(90, 99.9)
        full_scale = np.percentile(image, percentage)
        image = np.minimum(image, full_scale)
    if drawing.chance(0.1):
        low = image.min()
        high = max(image.max(), low + 1)
        n_levels = rng.integers(15, 256)
        image = np.rint((image - low) / (high - low) * n_levels)
    gain = rng.uniform(0.2, 5)
    offset = rng.uniform(-100, 1000)
    return (image * gain + offset).astype(np.float32)


def _dose_exponent(drawing: Drawing) -> float:
    """Logarithm to base 10 of the counts at the tallest peak: few ones more often than many."""
    if drawing.chance(0.6):
        return drawing.rng.uniform(0.1, 1.7)
    return drawing.rng.uniform(0, 3)
