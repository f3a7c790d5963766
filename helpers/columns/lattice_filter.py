"""The part of an image that repeats: noise taken off by what its surroundings have in common."""

import numpy as np
from scipy import fft

PATCH_PX = 96  # twelve spacings: large against a defect, small against most grains
STEP_PX = 24
THRESHOLD = 10.0  # times the noise power: white noise exceeds it once in twenty thousand
RING = 0.025  # width of a ring of the spectrum in cycles per pixel
SLOWEST = 0.03
CHUNK = 256  # patches at a time


def lattice_part(values: np.ndarray) -> np.ndarray:
    """What is periodic within patches of 96 px, (H, W) float32; zero where nothing is.

    Of the spectrum of every patch only the peaks stay that stand out from the median of their ring;
    the patches overlap and are averaged. A single defect disappears in it, a grain does not: look
    at it beside the image, never alone.

    Parameters
    ----------
    values : (H, W) array
        Without slow background, at about 8 px between columns.
    """
    lacking = [(0, max(0, PATCH_PX - n)) for n in values.shape]
    padded = np.pad(values, lacking).astype(np.float32)
    window = _window()
    corners = _corners(padded.shape)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (PATCH_PX, PATCH_PX))
    total = np.zeros_like(padded)
    weight = np.zeros_like(padded)
    rings = _rings()
    for part in np.array_split(corners, len(corners) // CHUNK + 1):
        rows, cols = part.T
        cleaned = _keep_peaks(windows[rows, cols] * window, rings) * window
        for (row, col), piece in zip(part, cleaned, strict=True):
            total[row : row + PATCH_PX, col : col + PATCH_PX] += piece
            weight[row : row + PATCH_PX, col : col + PATCH_PX] += window**2
    return (total / weight)[: values.shape[0], : values.shape[1]]


def _window() -> np.ndarray:
    """Weights (96, 96) of a patch, highest in its middle and nowhere zero."""
    middle = np.arange(PATCH_PX) + 0.5
    profile = (0.2 + np.sin(np.pi * middle / PATCH_PX)).astype(np.float32)
    return np.outer(profile, profile)


def _corners(shape) -> np.ndarray:
    """First pixels (N, 2) of patches that cover an image."""
    rows, cols = (_starts(n) for n in shape)
    grid = np.meshgrid(rows, cols, indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 2)


def _starts(length: int) -> np.ndarray:
    """First pixels of patches that cover a length evenly."""
    free = length - PATCH_PX
    count = -(-free // STEP_PX) + 1
    starts = np.linspace(0, free, count)
    return np.rint(starts).astype(int)


def _rings() -> list[np.ndarray]:
    """Indices of the coefficients of a patch's spectrum, ring by ring; slow ones are in none."""
    k_row = fft.fftfreq(PATCH_PX)[:, None]
    k_col = fft.rfftfreq(PATCH_PX)
    k = np.hypot(k_row, k_col).ravel()
    ring = ((k - SLOWEST) // RING).astype(int)
    return [np.flatnonzero(ring == number) for number in range(ring.max() + 1)]


def _keep_peaks(patches: np.ndarray, rings: list[np.ndarray]) -> np.ndarray:
    spectrum = fft.rfft2(patches).reshape(len(patches), -1)
    power = np.abs(spectrum) ** 2
    kept = np.zeros_like(spectrum)
    for ring in rings:
        here = power[:, ring]
        noise = np.median(here, axis=1, keepdims=True) / np.log(2)
        over = 1 - THRESHOLD * noise / np.maximum(here, 1e-20)
        share = np.sqrt(np.maximum(over, 0))
        kept[:, ring] = spectrum[:, ring] * share
    kept = kept.reshape(len(patches), PATCH_PX, -1)
    return fft.irfft2(kept, s=patches.shape[1:])
