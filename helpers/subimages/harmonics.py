"""Fourier-Bessel functions on a disk: the coordinates in which a rotation is exact.

A sub-image is written as a sum of the free vibrations of a disk whose rim may move::

    psi_mk(r, phi) = J_m(l_mk r / R) * {cos(m phi), sin(m phi)},     J'_m(l_mk) = 0

Turning the image by theta, counter-clockwise as displayed, turns each (cos, sin) pair by m theta
and leaves the rest alone: nothing is interpolated. The zeros of the *derivative* are used because
a sub-image does not vanish at the rim of its disk.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from ..images import as_stack, as_whole

RADIANS_PER_PIXEL = 1.25  # default band limit: features down to a period of 5 px
LIMITS_PER_PIXEL = (0.6, 1.9)  # lowest and highest that the data may ask for
FIRST_WAVE = 1.8412  # l_11, the smallest but for the constant
LOWEST_LIMIT = 3.1  # keeps m = 1 and 2 in the smallest windows
LEAST_SIGNAL = 0.15  # of the noise: waves below it say little
LOST_SHARE = 0.003  # of the signal: waves beyond it say little


def pixel_offsets(window_px: int) -> np.ndarray:
    """Sample offsets from the window's centre, in pixels: i - (w - 1)/2, for odd and even w."""
    return np.arange(window_px) - (window_px - 1) / 2


def disk_mask(window_px: int) -> np.ndarray:
    """Boolean (w, w): the pixels of the inscribed disk, the part closed under rotation."""
    offset = pixel_offsets(window_px)
    return np.hypot(offset[:, None], offset[None, :]) <= window_px / 2


def _derivative_zeros(band_limit: float) -> tuple[np.ndarray, np.ndarray]:
    """All m and l_mk, (Z,) each, with J'_m(l_mk) = 0 below the band limit; first the constant."""
    zeros = [(0, 0.0)]
    for m in range(int(band_limit) + 1):  # the first zero of J'_m lies beyond m
        candidates = special.jnp_zeros(m, int(band_limit / np.pi) + 2)
        zeros += [(m, zero) for zero in candidates if zero < band_limit]
    orders, lengths = zip(*zeros, strict=True)
    return np.array(orders), np.array(lengths)


def _waves(orders: np.ndarray, zeros: np.ndarray, window_px: int) -> np.ndarray:
    """J_m(l r / R) exp(i m phi) at the pixels of the disk, (Z, D) complex."""
    row, col = np.argwhere(disk_mask(window_px)).T - (window_px - 1) / 2
    r = np.hypot(row, col) / (window_px / 2)
    radii, place = np.unique(r.round(9), return_inverse=True)  # each stands at 4 or 8 pixels
    radial = special.jv(orders[:, None], zeros[:, None] * radii)
    return radial[:, place] * np.exp(1j * orders[:, None] * np.arctan2(-row, col))  # rows run down


def _blocks(orders: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Real functions (K, D) of complex ones (Z, D): m = 0, then all cosines, then all sines."""
    return np.concatenate([waves.real, waves[orders > 0].imag])


def as_finite(values: np.ndarray) -> np.ndarray:
    """Return the numbers (M, N) of M sub-images; a ValueError if there is NaN or infinity."""
    if bad := np.count_nonzero(~np.isfinite(values).all(axis=1)):
        raise ValueError(f"{bad} of {len(values)} sub-images hold NaN or infinity: drop them")
    return values


def paint(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Images (M, w, w) float32 of the pixels (M, D) of a mask (w, w); NaN outside it."""
    images = np.full((len(pixels), *mask.shape), np.nan, dtype=np.float32)
    images[:, mask] = pixels
    return images


@dataclass(frozen=True)
class DiskHarmonics:
    """Disk harmonics sampled on a window of `window_px` pixels.

    Coefficients are (M, K) arrays with three blocks: the K0 rotation-free numbers (m = 0), then
    the cosine and the sine parts of the P pairs (m > 0), so K = K0 + 2 P. They are scaled to unit
    norm: white noise of standard deviation s in the pixels is nearly white noise s in them.

    Attributes
    ----------
    window_px : int
    band_limit : float
        Largest l_mk kept (radians over the disk's radius).
    order : (K,) int
        Angular order m of each coefficient.
    frequency : (K,) float64
        l_mk of each, radians over the disk's radius.
    norms : (K0 + P,) float64
        What the functions were divided by, the two of a pair alike.
    functions : (K, D) float32
        The basis at the D pixels of the disk (row-major).
    inverse : (D, K) float32
        Least-squares projection from pixels to coefficients.
    """

    window_px: int
    band_limit: float
    order: np.ndarray
    frequency: np.ndarray
    norms: np.ndarray
    functions: np.ndarray
    inverse: np.ndarray

    @classmethod
    def build(cls, window_px: int, band_limit: float | None = None) -> "DiskHarmonics":
        """Compute the basis; `band_limit=None` keeps features down to a period of 5 pixels.

        Raises
        ------
        ValueError
            If the window is under 5 px, or the band limit asks for more functions than pixels or
            for the constant alone.
        """
        window_px = as_whole("window_px", window_px, 5)
        radius = window_px / 2
        limit = RADIANS_PER_PIXEL * radius if band_limit is None else float(band_limit)
        if not FIRST_WAVE < limit <= 2.2 * radius:
            allowed = f"{FIRST_WAVE:g} (the first wave that turns) to {2.2 * radius:g}"
            raise ValueError(f"band_limit={limit:g}, but {window_px} pixels allow {allowed}")
        orders, zeros = _derivative_zeros(limit)
        waves = _waves(orders, zeros, window_px)
        # One common norm a pair: a norm each would make a turn leak between cos and sin.
        norms = np.sqrt((np.abs(waves) ** 2).sum(axis=1) / np.where(orders > 0, 2, 1))
        functions = _blocks(orders, waves / norms[:, None])
        inverse = np.linalg.solve(functions @ functions.T, functions).T.astype(np.float32)
        functions = functions.astype(np.float32)
        order, frequency = (np.concatenate([v, v[orders > 0]]) for v in (orders, zeros))
        return cls(window_px, limit, order, frequency, norms, functions, inverse)

    def shift_slopes(self) -> np.ndarray:
        """How coefficients change as a motif moves by a pixel along rows and columns, (2, K, K).

        `c @ slopes[0]` is that change for a shift towards larger rows, to first order. From the
        recurrence 2 J'_m = J_(m-1) - J_(m+1), for both derivatives of J_m(kr) exp(i m phi).
        """
        orders, zeros = _derivative_zeros(self.band_limit)
        lower, upper = (_waves(orders + step, zeros, self.window_px) for step in (-1, 1))
        per_pixel = (zeros / self.window_px / self.norms)[:, None]  # l / R, halved
        changes = (per_pixel * 1j * (lower + upper), per_pixel * (upper - lower))
        return np.array([_blocks(orders, c) @ self.inverse for c in changes], dtype=np.float32)

    def __len__(self) -> int:
        return len(self.order)

    @property
    def pair_order(self) -> np.ndarray:
        """Angular order m of each of the P pairs, (P,) int."""
        return self.split(self.order)[1]

    def project(self, stack: np.ndarray) -> np.ndarray:
        """Coefficients (M, K) float32 of sub-images (M, w, w), by least squares on the disk.

        A memory-mapped stack is read in parts and stays on disk. ValueError if the shape is
        another, or pixels of the disk are missing.
        """
        stack, disk = as_stack(stack, self.window_px), np.flatnonzero(disk_mask(self.window_px))
        parts = [stack[first : first + 8192] for first in range(0, len(stack), 8192)]
        flat = (np.asarray(part, np.float32).reshape(len(part), -1) for part in parts)
        return as_finite(np.concatenate([p.take(disk, axis=1) @ self.inverse for p in flat]))

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        """Sub-images (M, w, w) float32 of coefficients (M, K); NaN outside the disk."""
        pixels = np.asarray(coefficients, dtype=np.float32) @ self.functions
        return paint(pixels, disk_mask(self.window_px))

    def split(self, coefficients):
        """The three blocks (K0, P cosines, P sines) of the last axis; numpy or torch."""
        first, second = np.count_nonzero(self.order == 0), len(self.norms)
        parts = slice(first), slice(first, second), slice(second, None)
        return tuple(coefficients[..., part] for part in parts)

    def rotate(self, coefficients: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
        """Turn each motif by `angle` (M,) or scalar, radians, counter-clockwise as displayed."""
        still, cosine, sine = self.split(np.asarray(coefficients))
        phase = self.pair_order * np.asarray(angle, dtype=np.float64)[..., None]
        pairs = (cosine + 1j * sine) * np.exp(1j * phase)
        still = still + np.zeros_like(pairs.real[..., :1])  # one motif may be turned to many
        return np.concatenate([still, pairs.real, pairs.imag], axis=-1).astype(np.float32)


def data_band_limit(stack: np.ndarray, window_px: int) -> float:
    """Band limit (radians over the disk's radius) that keeps what stands out of the noise.

    The power per function falls with its radial frequency to a floor, the noise. The limit is
    where the signal has sunk to a seventh of that floor, or, in images almost without noise, where
    all but 0.3 % of the signal has been seen.

    Parameters
    ----------
    stack : (M, w, w)
        A thousand of them, evenly spread, are looked at.
    """
    radius = window_px / 2
    basis = DiskHarmonics.build(window_px, LIMITS_PER_PIXEL[1] * radius)
    some = stack[:: max(1, len(stack) // 1000)] if np.ndim(stack) == 3 else stack
    power = np.mean(basis.project(some).astype(np.float64) ** 2, axis=0)[1:]  # not the constant
    step = 0.1 * radius
    ring = (basis.frequency[1:] / step).astype(int)
    count = np.maximum(np.bincount(ring), 1)
    mean = np.bincount(ring, power) / count
    floor = mean[-2:].min()
    signal = np.maximum(mean - floor, 0)
    beyond = np.cumsum((signal * count)[::-1])[::-1]
    wanted = (signal > LEAST_SIGNAL * floor) & (beyond > LOST_SHARE * beyond[0])
    limit = (np.flatnonzero(wanted).max(initial=0) + 1) * step
    return float(np.clip(limit, max(LIMITS_PER_PIXEL[0] * radius, LOWEST_LIMIT), basis.band_limit))


def angular_power(coefficients: np.ndarray, basis: DiskHarmonics) -> np.ndarray:
    """Power in each angular order, (M, m_max + 1): unchanged by any rotation of the sub-image.

    The constant (the mean brightness) is left out of order 0: it says nothing about symmetry.
    """
    power = np.asarray(coefficients, dtype=np.float64) ** 2
    power[:, 0] = 0  # the first function is the constant
    return power @ (basis.order[:, None] == np.arange(basis.order.max() + 1))
