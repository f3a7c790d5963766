"""The distance between neighbouring columns, from the image alone.

Headers are wrong too often to be trusted, and everything that follows is set by this one length.
"""

import numpy as np
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from ..images import as_image, neighbour_distance
from .peaks import parabola_vertex, values_at

BRAGG_TO_BACKGROUND = 14.0  # speckle reaches this ratio less than once in a hundred images
LOOK_AT_PX = 1024  # side of the square in which the spacing is measured
SMALLEST_CELL_COUNT = 3  # periods across the image
SHARPEST_PERIOD_PX = 2.5
CLOSEST_PX = 3.5  # nearer columns cannot be told apart
SHARPENING = 0.8  # share of the columns' width that is taken off the autocorrelation
LARGEST_GAIN = 50.0
NEIGHBOUR_TO_STRONGEST = 0.2  # a weak site beside a strong one still counts
ORDER_AMONG = 40  # neighbours
ORDER_AT = 60  # columns looked at


def measure_spacing(image) -> float | None:
    """Distance in pixels between neighbouring columns, or None if the image shows no lattice.

    Lattice reflections are the sharp peaks that stand out from the smooth rest of the power
    spectrum. Their inverse transform is a clean autocorrelation, whose first maximum off the centre
    is the distance sought. Two or more reflections in different directions are asked for, so that
    fringes and scan-line noise are no lattice.
    """
    values = as_image(image)
    spacing_px, _ = find_lattice(without_outliers(values))
    return spacing_px


def without_outliers(values: np.ndarray) -> np.ndarray:
    """Hot and dead pixels brought to twice the range of all the others; nothing else changes."""
    low, high = np.percentile(values, [0.5, 99.5])
    reach = high - low
    if reach > 0:
        return np.clip(values, low - reach, high + reach)
    return values


def find_lattice(values: np.ndarray) -> tuple[float | None, float]:
    """Spacing in pixels, or None, and the skewness of the lattice's own contrast.

    A negative skewness means dark columns. Of a large image the middle is looked at first, then
    the corners.
    """
    rows_left = max(0, values.shape[0] - LOOK_AT_PX)
    cols_left = max(0, values.shape[1] - LOOK_AT_PX)
    for down, along in (0.5, 0.5), (0, 0), (0, 1), (1, 0), (1, 1):
        row = int(down * rows_left)
        col = int(along * cols_left)
        square = values[row : row + LOOK_AT_PX, col : col + LOOK_AT_PX]
        spacing_px, skewness = _lattice_of(square)
        if spacing_px is not None or max(rows_left, cols_left) == 0:
            return spacing_px, skewness
    return None, 0.0


def _lattice_of(values: np.ndarray) -> tuple[float | None, float]:
    shortest_px = 2 * SMALLEST_CELL_COUNT * SHARPEST_PERIOD_PX
    if min(values.shape) < shortest_px or np.ptp(values) == 0:
        return None, 0.0
    down, along = (np.hanning(n + 2)[1:-1] for n in values.shape)
    window = np.outer(down, along).astype(np.float32)
    spectrum = fft.fft2((values - values.mean()) * window)
    power = np.abs(spectrum) ** 2
    k = _wave_numbers(values.shape)
    peaks = _reflections(power, k)
    if not peaks.any():
        return None, 0.0
    mask = ndimage.binary_dilation(peaks, np.ones((3, 3)))
    lattice = fft.ifft2(spectrum * mask).real / np.maximum(window, 0.1)
    third_moment = (lattice**3).mean()
    variance = (lattice**2).mean()
    skewness = float(third_moment / variance**1.5)
    # A Gaussian column damps the power by exp(-slope k^2). Most of that is taken back, so that the
    # maxima of the autocorrelation are narrower than the columns.
    slope = _damping(power[peaks], k[peaks])
    gain = np.exp(SHARPENING * slope * k[mask] ** 2)
    power[mask] *= np.minimum(gain, LARGEST_GAIN)
    return _first_neighbour(power * mask), skewness


def _wave_numbers(shape) -> np.ndarray:
    """Spatial frequency (H, W) of each coefficient of a spectrum, in cycles per pixel."""
    down, along = (fft.fftfreq(n) for n in shape)
    k_row, k_col = np.meshgrid(down, along, indexing="ij")
    return np.hypot(k_row, k_col)


def _damping(power: np.ndarray, k: np.ndarray) -> float:
    """Slope of -log(power) over k^2 among the reflections, never negative."""
    if np.ptp(k) < 0.1 * k.max():
        return 0.0
    slope, _ = np.polyfit(k**2, np.log(power), 1)
    return max(0.0, -slope)


def _reflections(power: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Where a power spectrum (H, W) has lattice reflections; nowhere if all are in one line."""
    smooth = ndimage.gaussian_filter(power, 0.7, mode="wrap")
    slowest = SMALLEST_CELL_COUNT / min(power.shape)
    band = (k > slowest) & (k < 1 / SHARPEST_PERIOD_PX)
    ground = _ground(smooth, k, slowest / 3)
    peaks = band & (smooth == ndimage.maximum_filter(smooth, 5, mode="wrap"))
    faintest = 1e-5 * smooth[band].max()
    peaks &= smooth > np.maximum(BRAGG_TO_BACKGROUND * ground, faintest)
    k_row, k_col = (np.argwhere(fft.fftshift(peaks)) / power.shape - 0.5).T
    direction = np.arctan2(k_row, k_col)
    across = np.abs(np.sin(direction - direction[:1]))  # 0 along the line of the first one
    return peaks & (across.max(initial=0) > 0.3)


def _ground(smooth: np.ndarray, k: np.ndarray, lowest: float) -> np.ndarray:
    """The smooth rest of a power spectrum (H, W): medians of rings, and between these a curve."""
    edges = [lowest]
    while edges[-1] < 0.71:  # rings of one sixth in k, and three bins at least
        wider = 1.16 * edges[-1]
        three_bins = edges[-1] + 3 / min(smooth.shape)
        edges.append(max(wider, three_bins))
    half = np.s_[: smooth.shape[0] // 2 + 1]  # the other half is its mirror image
    ring = np.digitize(k[half], edges)
    numbers = np.arange(1, len(edges))
    level = ndimage.median(smooth[half], ring, numbers)
    log_level = np.log(np.maximum(level, 1e-30))
    middle = (np.array(edges[:-1]) + edges[1:]) / 2
    log_k = np.log(np.maximum(k, edges[0]))
    return np.exp(np.interp(log_k, np.log(middle), log_level))


def _first_neighbour(power: np.ndarray) -> float | None:
    """Distance of the nearest maximum of the autocorrelation that stands out like its others."""
    correlation = fft.fftshift(fft.ifft2(power).real)
    centre = np.array(correlation.shape) // 2
    inside = correlation[1:-1, 1:-1]
    highest_near = ndimage.maximum_filter(correlation, 3)[1:-1, 1:-1]
    top = np.argwhere(inside == highest_near) + 1
    height = values_at(correlation, top)
    vertex = top + parabola_vertex(correlation, top)
    distance = np.linalg.norm(vertex - centre, axis=1)
    others = distance > CLOSEST_PX
    if not others.any():
        return None
    strongest = height[others].max()
    strong = others & (height > NEIGHBOUR_TO_STRONGEST * strongest)
    return float(distance[strong].min())


def local_order(positions: np.ndarray) -> float:
    """How well (N, 2) places lie on a lattice, each with its 40 nearest, whatever others do.

    The share of the strongest plane wave in the structure factor, of periods near the distance of
    neighbours; the median over some of the places. It is 1 for a lattice of one column a cell, half
    or more for all others, and 0.15 for places dealt at random. Grains do no harm.
    """
    count = min(ORDER_AMONG, len(positions))
    if count < 3:
        return 0.0
    rng = np.random.default_rng(0)
    some = rng.permutation(len(positions))[:ORDER_AT]
    _, nearest = cKDTree(positions).query(positions[some], k=count)  # (some, count)
    apart = positions[nearest] - positions[some, None]
    spacing = np.median(neighbour_distance(positions))
    apart = apart / spacing
    waves = wave_vectors(0.35, 1.19, 0.075)  # longer ones see the outline of the group
    factor = np.abs(_mean_waves(apart, waves)) ** 2
    strongest = factor.max(axis=1)
    return float(np.median(strongest))


def _mean_waves(places: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Mean of exp(2 pi i k x) over n places x of each group (G, n, 2), for waves k (W, 2): (G, W).

    A wave is the product of one along rows and one along columns, and on a raster there are few
    of either.
    """
    k_row, row = np.unique(waves[:, 0], return_inverse=True)
    k_col, col = np.unique(waves[:, 1], return_inverse=True)
    along_rows = np.exp(2j * np.pi * places[:, :, :1] * k_row)  # (G, n, rows)
    along_cols = np.exp(2j * np.pi * places[:, :, 1:] * k_col)
    sums = along_rows.transpose(0, 2, 1) @ along_cols  # (G, rows, cols)
    return sums[:, row, col] / places.shape[1]


def wave_vectors(lowest: float, highest: float, step: float) -> np.ndarray:
    """Vectors of half a ring on a square raster, zero apart: the other half are the same waves."""
    count = int(highest / step)
    waves = step * np.mgrid[-count:1, -count : count + 1].reshape(2, -1).T
    length = np.hypot(*waves.T)
    return waves[(length > lowest) & (length <= highest * (1 + 1e-9))]
