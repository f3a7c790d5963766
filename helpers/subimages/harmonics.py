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

from ..images import as_stack, as_whole, values_of

RADIANS_PER_PIXEL = 1.25  # default band limit: features down to a period of 5 px
LIMITS_PER_PIXEL = (0.6, 1.9)  # lowest and highest that the data may ask for
FIRST_WAVE = 1.8412  # l_11, the smallest but for the constant
LOWEST_LIMIT = 3.1  # keeps m = 1 and 2 in the smallest windows
LEAST_SIGNAL = 0.15  # of the noise: waves below it say little
LOST_SHARE = 0.003  # of the signal: waves beyond it say little
PART = 8192  # sub-images projected at a time


def pixel_offsets(window_px: int) -> np.ndarray:
    """Sample offsets from the window's centre, in pixels: i - (w - 1)/2, for odd and even w."""
    return np.arange(window_px) - (window_px - 1) / 2


def disk_mask(window_px: int) -> np.ndarray:
    """Boolean (w, w): the pixels of the inscribed disk, the part closed under rotation."""
    offset = pixel_offsets(window_px)
    radius_px = window_px / 2
    distance_px = np.hypot(offset[:, None], offset[None, :])
    return distance_px <= radius_px


def _derivative_zeros(band_limit: float) -> tuple[np.ndarray, np.ndarray]:
    """All m and l_mk, (Z,) each, with J'_m(l_mk) = 0 below the band limit; first the constant."""
    orders = [0]
    lengths = [0.0]
    highest_order = int(band_limit)  # the first zero of J'_m lies beyond m
    count = int(band_limit / np.pi) + 2  # zeros lie about pi apart
    for m in range(highest_order + 1):
        candidates = special.jnp_zeros(m, count)
        inside = candidates[candidates < band_limit]
        orders.extend([m] * len(inside))
        lengths.extend(inside)
    return np.array(orders), np.array(lengths)


def count_functions(window_px: int, band_limit: float | None = None) -> int:
    """How many functions a basis has, without building it; a ValueError as of `DiskHarmonics`."""
    window_px = as_whole("window_px", window_px, 5)
    limit = _as_band_limit(band_limit, window_px)
    orders, _ = _derivative_zeros(limit)
    turning = np.count_nonzero(orders)  # there is a cosine and a sine of each
    return len(orders) + turning


def _waves(
    orders: np.ndarray,
    zeros: np.ndarray,
    window_px: int,
) -> np.ndarray:
    """J_m(l r / R) exp(i m phi) at the pixels of the disk, (Z, D) complex."""
    pixels = np.argwhere(disk_mask(window_px))
    row, col = pixels.T - (window_px - 1) / 2
    radius_px = window_px / 2
    r = np.hypot(row, col) / radius_px
    phi = np.arctan2(-row, col)  # rows run down
    # Each radius stands at 4 or 8 pixels: a Bessel function is computed once for all of them.
    radii, place = np.unique(r.round(9), return_inverse=True)
    m = orders[:, None]
    radial = special.jv(m, zeros[:, None] * radii)
    angular = np.exp(1j * m * phi)
    return radial[:, place] * angular


def _blocks(orders: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Real functions (K, D) of complex ones (Z, D): m = 0, then all cosines, then all sines."""
    turning = waves[orders > 0]
    return np.concatenate([waves.real, turning.imag])


def as_finite(values: np.ndarray) -> np.ndarray:
    """Return the numbers (M, N) of M sub-images; a ValueError if there is NaN or infinity."""
    finite = np.isfinite(values).all(axis=1)
    bad = np.count_nonzero(~finite)
    if bad:
        raise ValueError(f"{bad} of {len(values)} sub-images hold NaN or infinity: drop them")
    return values


def paint(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Images (M, w, w) float32 of the pixels (M, D) of a mask (w, w); NaN outside it."""
    shape = (len(pixels), *mask.shape)
    images = np.full(shape, np.nan, dtype=np.float32)
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
        limit = _as_band_limit(band_limit, window_px)
        orders, zeros = _derivative_zeros(limit)
        waves = _waves(orders, zeros, window_px)
        # One common norm a pair: a norm each would make a turn leak between cos and sin.
        power = (np.abs(waves) ** 2).sum(axis=1)
        norms = np.sqrt(power / np.where(orders > 0, 2, 1))
        functions = _blocks(orders, waves / norms[:, None])
        gram = functions @ functions.T
        inverse = np.linalg.solve(gram, functions).T
        turning = orders > 0
        return cls(
            window_px=window_px,
            band_limit=limit,
            order=np.concatenate([orders, orders[turning]]),
            frequency=np.concatenate([zeros, zeros[turning]]),
            norms=norms,
            functions=functions.astype(np.float32),
            inverse=inverse.astype(np.float32),
        )

    def shift_slopes(self) -> np.ndarray:
        """How coefficients change as a motif moves by a pixel along rows and columns, (2, K, K).

        `c @ slopes[0]` is that change for a shift towards larger rows, to first order. From the
        recurrence 2 J'_m = J_(m-1) - J_(m+1), for both derivatives of J_m(kr) exp(i m phi).
        """
        orders, zeros = _derivative_zeros(self.band_limit)
        lower = _waves(orders - 1, zeros, self.window_px)
        upper = _waves(orders + 1, zeros, self.window_px)
        per_pixel = zeros / self.window_px / self.norms  # l / R, halved
        per_pixel = per_pixel[:, None]
        row_change = per_pixel * 1j * (lower + upper)
        col_change = per_pixel * (upper - lower)
        row_slope = _blocks(orders, row_change) @ self.inverse
        col_slope = _blocks(orders, col_change) @ self.inverse
        return np.array([row_slope, col_slope], dtype=np.float32)

    def __len__(self) -> int:
        return len(self.order)

    @property
    def pair_order(self) -> np.ndarray:
        """Angular order m of each of the P pairs, (P,) int."""
        _, cosine_order, _ = self.split(self.order)
        return cosine_order

    def project(self, stack: np.ndarray) -> np.ndarray:
        """Coefficients (M, K) float32 of sub-images (M, w, w), by least squares on the disk.

        A memory-mapped stack is read in parts and stays on disk. ValueError if the shape is
        another, or pixels of the disk are missing.
        """
        stack = as_stack(stack, self.window_px)
        coefficients = []
        for first in range(0, len(stack), PART):
            part = stack[first : first + PART]
            coefficients.append(self._project_part(part))
        return as_finite(np.concatenate(coefficients))

    def _project_part(self, part: np.ndarray) -> np.ndarray:
        mask = disk_mask(self.window_px)
        disk = np.flatnonzero(mask)
        values = values_of(part, np.float32)
        flat = values.reshape(len(part), -1)
        pixels = flat.take(disk, axis=1)
        return pixels @ self.inverse

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        """Sub-images (M, w, w) float32 of coefficients (M, K); NaN outside the disk."""
        coefficients = np.asarray(coefficients, dtype=np.float32)
        pixels = coefficients @ self.functions
        mask = disk_mask(self.window_px)
        return paint(pixels, mask)

    def split(self, coefficients):
        """The three blocks (K0, P cosines, P sines) of the last axis; numpy or torch."""
        first_cosine = np.count_nonzero(self.order == 0)
        first_sine = len(self.norms)
        still = coefficients[..., :first_cosine]
        cosine = coefficients[..., first_cosine:first_sine]
        sine = coefficients[..., first_sine:]
        return still, cosine, sine

    def rotate(self, coefficients: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
        """Turn each motif by `angle` (M,) or scalar, radians, counter-clockwise as displayed."""
        coefficients = np.asarray(coefficients)
        still, cosine, sine = self.split(coefficients)
        angle = np.asarray(angle, dtype=np.float64)
        phase = self.pair_order * angle[..., None]
        pairs = (cosine + 1j * sine) * np.exp(1j * phase)
        one_each = np.zeros_like(pairs.real[..., :1])
        still = still + one_each  # one motif may be turned to many
        turned = np.concatenate([still, pairs.real, pairs.imag], axis=-1)
        return turned.astype(np.float32)


def _as_band_limit(band_limit: float | None, window_px: int) -> float:
    """Return the limit asked for, or the default; a ValueError if the window cannot hold it."""
    radius_px = window_px / 2
    if band_limit is None:
        limit = RADIANS_PER_PIXEL * radius_px
    else:
        limit = float(band_limit)
    highest = 2.2 * radius_px
    if not FIRST_WAVE < limit <= highest:
        message = (
            f"band_limit={limit:g}, but {window_px} pixels allow "
            f"{FIRST_WAVE:g} (the first wave that turns) to {highest:g}"
        )
        raise ValueError(message)
    return limit


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
    lowest_per_pixel, highest_per_pixel = LIMITS_PER_PIXEL
    radius_px = window_px / 2
    basis = DiskHarmonics.build(window_px, highest_per_pixel * radius_px)
    stack = as_stack(stack, window_px)
    every = max(1, len(stack) // 1000)
    coefficients = basis.project(stack[::every]).astype(np.float64)
    power = np.mean(coefficients**2, axis=0)

    # Mean power in rings of equal width; the first function, the constant, does not count.
    step = 0.1 * radius_px
    ring = (basis.frequency[1:] / step).astype(int)
    count = np.maximum(np.bincount(ring), 1)
    mean = np.bincount(ring, power[1:]) / count

    floor = mean[-2:].min()
    signal = np.maximum(mean - floor, 0)
    from_outside = (signal * count)[::-1]
    beyond = np.cumsum(from_outside)[::-1]
    stands_out = signal > LEAST_SIGNAL * floor
    still_to_come = beyond > LOST_SHARE * beyond[0]
    wanted = np.flatnonzero(stands_out & still_to_come)
    limit = (wanted.max(initial=0) + 1) * step
    lowest = max(lowest_per_pixel * radius_px, LOWEST_LIMIT)
    return float(np.clip(limit, lowest, basis.band_limit))


def angular_power(coefficients: np.ndarray, basis: DiskHarmonics) -> np.ndarray:
    """Power in each angular order, (M, m_max + 1): unchanged by any rotation of the sub-image.

    The constant (the mean brightness) is left out of order 0: it says nothing about symmetry.
    """
    power = np.asarray(coefficients, dtype=np.float64) ** 2
    power[:, 0] = 0  # the first function is the constant
    angular_orders = np.arange(basis.order.max() + 1)
    is_of_order = basis.order[:, None] == angular_orders  # (K, m_max + 1)
    return power @ is_of_order
