"""What sub-images of one size tell: their angular orders, and how well their angle is known."""

import numpy as np
from scipy import special
from scipy.spatial import cKDTree

from .cut import cut_subimages
from .harmonics import DiskHarmonics, angular_power

LARGEST_ORDER = 6
NOTHING_KNOWN_DEG = 180 / np.sqrt(3)  # rms of angles spread evenly over the circle
RIGHT_WITHIN_DEG = 1.0
PATCHES = 5  # where sub-images are compared …
PATCH = 100  # … columns in each of these …
ALIKE = 8  # … of which so many are averaged to a motif
LEAST = 1e-30  # keeps what may vanish from being divided by
FOLDS = (2, 3, 4, 6)  # turns for which a motif may be mistaken for itself: 180 degrees to 60


def judge(
    row: np.void,
    values: np.ndarray,
    positions: np.ndarray,
    rough: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Fill in what the sub-images tell: angular orders, angle error, ambiguity and score.

    Returns which columns were looked at (M,), and the power in each order around each, (M, m).
    """
    some, patch = _patches(positions)
    window_px = row["window_px"]
    basis = DiskHarmonics.build(window_px)
    stack, _ = cut_subimages(values, positions[some], window_px)
    c = basis.project(stack).astype(np.float64)
    alike = min(ALIKE, len(c) - 1)
    mean = c
    if alike:
        near = _most_alike(c, patch, 0 * c, alike)
        mean = c[near].mean(axis=1)
    noise = _noise_of(c, mean, alike, rough)
    power = _power_above_noise(mean, basis, noise, alike)
    row["order_share"] = shares(power)
    row["ambiguity"] = _ambiguity(power, noise)
    error_deg = np.array([NOTHING_KNOWN_DEG])
    if alike:
        error_deg = _angle_errors_deg(c, mean, patch, basis, noise=noise, alike=alike)
    row["angle_error_deg"] = np.median(error_deg)
    row["score"] = row["share_kept"] * _share_within(error_deg)
    return some, power


def _noise_of(
    c: np.ndarray,
    mean: np.ndarray,
    alike: int,
    rough: float,
) -> float:
    """Variance of the noise of one coefficient: how like sub-images scatter, but at least `rough`.

    The mean of so many `alike` scatters as well, and leaves a part of the variance out.
    """
    spread = np.mean((c - mean) ** 2, axis=1)
    spread = spread * alike / (alike + 1)
    typical = float(np.median(spread))
    return max(rough, typical, LEAST)


def _power_above_noise(
    mean: np.ndarray,
    basis: DiskHarmonics,
    noise: float,
    alike: int,
) -> np.ndarray:
    """Power (M, m) of mean sub-images in each angular order, less that of their noise."""
    orders = np.arange(basis.order.max() + 1)
    numbers = np.bincount(basis.order) - (orders == 0)  # no constant
    of_noise = noise * numbers / max(alike, 1)
    power = angular_power(mean, basis)
    return np.maximum(power - of_noise, 0)


def _ambiguity(power: np.ndarray, noise: float) -> np.ndarray:
    """Share of columns, (4,), that would be taken for themselves turned by each of the folds."""
    orders = np.arange(power.shape[1])
    turns = 1 / np.array(FOLDS)  # of a whole one
    phase = 2 * np.pi * np.outer(orders, turns)
    change = 1 - np.cos(phase)
    contrast = np.sqrt(power @ change / (2 * noise))
    mistaken = special.ndtr(-contrast)  # (M, 4)
    return mistaken.mean(axis=0)


def _share_within(error_deg: np.ndarray) -> float:
    """Expected share of Gaussian errors of these sizes (M,) that are within one degree."""
    error_deg = np.maximum(error_deg, 1e-9)
    right = special.erf(RIGHT_WITHIN_DEG / (np.sqrt(2) * error_deg))
    return right.mean()


def shares(power: np.ndarray) -> np.ndarray:
    """How the power (M, m) of many columns divides among the angular orders, (7,)."""
    mean = power.mean(axis=0)
    mean = np.pad(mean, (0, LARGEST_ORDER))
    total = max(mean.sum(), LEAST)
    return mean[: LARGEST_ORDER + 1] / total


def _patches(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the columns of a few patches, and the patch of each.

    Within a patch like columns are turned alike, thick alike, and of one grain, but for the few
    patches that a boundary crosses.
    """
    count = min(PATCH, len(positions))
    patches = min(PATCHES, len(positions) // count)
    # Evenly spread over the table, both of its ends apart.
    spread = np.linspace(0, len(positions) - 1, patches + 2)
    middles = spread[1:-1].astype(int)
    tree = cKDTree(positions)
    _, around = tree.query(positions[middles], range(1, count + 1))
    patch = np.arange(len(around))
    return around.ravel(), np.repeat(patch, count)


def _angle_errors_deg(
    c: np.ndarray,
    mean: np.ndarray,
    patch: np.ndarray,
    basis: DiskHarmonics,
    *,
    noise: float,
    alike: int,
) -> np.ndarray:
    """Expected error of each angle (M,), in degrees, from how like sub-images scatter.

    Their `mean` (M, K) is a motif; what a sub-image differs from it along the change that a small
    turn would make is read as an error of its angle. This counts all that makes like columns
    unlike: shot noise, which is strongest where the motif is bright, the jitter of lines, and
    columns that were not quite centred. So that chance does not choose the answer, which are alike
    is decided by everything *but* that change.
    """
    turn, _ = _small_turn(mean, basis)
    near = _most_alike(c, patch, turn, alike)  # (M, alike)
    mean = c[near].mean(axis=1)
    turn, length = _small_turn(mean, basis)
    # The noise that is left in the motif changes as it turns, too.
    steepness = length**2 - noise * np.sum(basis.order**2) / alike
    steepness = np.maximum(steepness, LEAST)
    along = np.sum(turn * (c - mean), axis=1)
    squared = along**2 * alike / (alike + 1) / steepness
    of_others = squared[near].sum(axis=1)
    mean_square = (squared + of_others) / (alike + 1)
    error_deg = np.rad2deg(np.sqrt(mean_square))
    return np.minimum(error_deg, NOTHING_KNOWN_DEG)


def _small_turn(
    motifs: np.ndarray,
    basis: DiskHarmonics,
) -> tuple[np.ndarray, np.ndarray]:
    """Direction (M, K) in which motifs change as they turn, and by how much a radian, (M,)."""
    still, cosine, sine = basis.split(motifs)
    order = basis.pair_order
    slope = np.hstack([0 * still, -sine * order, cosine * order])
    length = np.linalg.norm(slope, axis=1)
    divisor = np.maximum(length, LEAST)
    direction = slope / divisor[:, None]
    return direction, length


def _most_alike(
    c: np.ndarray,
    patch: np.ndarray,
    turn: np.ndarray,
    alike: int,
) -> np.ndarray:
    """Rows (M, alike) of those of its patch most like each sub-image, but along `turn`."""
    length = np.sum(c**2, axis=1)
    apart = length[:, None] + length - 2 * c @ c.T
    along = np.sum(turn * c, axis=1)
    apart -= (along[:, None] - turn @ c.T) ** 2
    other_patch = patch[:, None] != patch
    itself = np.eye(len(c), dtype=bool)
    apart[other_patch | itself] = np.inf
    nearest_first = np.argsort(apart, axis=1)
    return nearest_first[:, :alike]
