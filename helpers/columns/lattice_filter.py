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
    padded = np.pad(values, [(0, max(0, PATCH_PX - n)) for n in values.shape]).astype(np.float32)
    profile = (0.2 + np.sin(np.pi * (np.arange(PATCH_PX) + 0.5) / PATCH_PX)).astype(np.float32)
    window = np.outer(profile, profile)
    rows, cols = (_starts(n) for n in padded.shape)
    corners = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (PATCH_PX, PATCH_PX))
    total, weight = np.zeros_like(padded), np.zeros_like(padded)
    rings = _rings()
    for part in np.array_split(corners, len(corners) // CHUNK + 1):
        cleaned = _keep_peaks(windows[tuple(part.T)] * window, rings) * window
        for (row, col), piece in zip(part, cleaned, strict=True):
            total[row : row + PATCH_PX, col : col + PATCH_PX] += piece
            weight[row : row + PATCH_PX, col : col + PATCH_PX] += window**2
    return (total / weight)[: values.shape[0], : values.shape[1]]


def _starts(length: int) -> np.ndarray:
    """First pixels of patches that cover a length evenly."""
    free = length - PATCH_PX
    return np.rint(np.linspace(0, free, -(-free // STEP_PX) + 1)).astype(int)


def _rings() -> list[np.ndarray]:
    """Indices of the coefficients of a patch's spectrum, ring by ring; slow ones are in none."""
    k = np.hypot(fft.fftfreq(PATCH_PX)[:, None], fft.rfftfreq(PATCH_PX)).ravel()
    ring = ((k - SLOWEST) // RING).astype(int)
    return [np.flatnonzero(ring == number) for number in range(ring.max() + 1)]


def _keep_peaks(patches: np.ndarray, rings: list[np.ndarray]) -> np.ndarray:
    spectrum = fft.rfft2(patches).reshape(len(patches), -1)
    power, kept = np.abs(spectrum) ** 2, np.zeros_like(spectrum)
    for ring in rings:
        noise = np.median(power[:, ring], axis=1, keepdims=True) / np.log(2)
        over = 1 - THRESHOLD * noise / np.maximum(power[:, ring], 1e-20)
        kept[:, ring] = spectrum[:, ring] * np.sqrt(np.maximum(over, 0))
    return fft.irfft2(kept.reshape(len(patches), PATCH_PX, -1), s=patches.shape[1:])
