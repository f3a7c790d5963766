"""Choose the size of the sub-images: what each size sees, what it costs, and which one to take."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage, special
from scipy.spatial import cKDTree

from ..images import as_image, as_positions, as_whole, neighbour_distance, pixel_size_nm
from .cut import cut_subimages, inside_image
from .harmonics import DiskHarmonics, angular_power

LARGEST_ORDER = 6
NOTHING_KNOWN_DEG = 180 / np.sqrt(3)  # rms of angles spread evenly over the circle
RIGHT_WITHIN_DEG = 1.0
FEWEST_NEIGHBOURS = 2.0  # inside the disk, on average
EQUAL_SCORE = 0.01  # sizes this close to the best count as equal: the smallest of them is taken
DEFAULT_OVER_SPACING = np.array([1.5, 2, 2.5, 3, 3.5, 4, 5, 6])
SMALLEST_PX = 8
PATCHES, PATCH = 5, 100  # where sub-images are compared: columns around this many others …
ALIKE = 8  # … of which so many are averaged to a motif
FOLDS = (2, 3, 4, 6)  # turns for which a motif may be mistaken for itself: 180 degrees to 60
# A mixed second difference in either direction: blind to what is smooth over three pixels.
ROUGHNESS = np.outer([1, -2, 1], [1, -2, 1]) / 6

NUMBERS = ("window_nm", "share_kept", "neighbours", "overlap", "angle_error_deg", "score")
ROW = [("window_px", int), ("kept", int), ("order_share", float, (LARGEST_ORDER + 1,))]
ROW += [("ambiguity", float, (len(FOLDS),))]
ROW += [(name, float) for name in NUMBERS]


@dataclass(frozen=True)
class WindowReport:
    """What each window size sees, and the one recommended.

    Attributes
    ----------
    table : structured array, one row a size
        `window_px`, `window_nm` (NaN without calibration); `kept` and `share_kept`, the columns
        whose window lies inside the image; `neighbours` inside the disk; `overlap`, the share of
        the disk that the nearest column's disk covers too; `order_share` (7,), how the variance
        above the noise divides among the angular orders m = 0 .. 6; `ambiguity` (4,), the share of
        columns that would be taken for themselves turned by 180, 120, 90 or 60 degrees, one half
        where nothing tells the two apart; `angle_error_deg`, the expected error of the angle
        (median column); `score`, the expected share of all columns whose angle is right within one
        degree.
    recommended_px : int
    reason : str
    order_share_of : dict of str to (S, 7) array
        `order_share` of each of the `kinds` that were given, one row a size; NaN where no column
        of that kind was among those looked at.
    """

    table: np.ndarray
    recommended_px: int
    reason: str
    order_share_of: dict[str, np.ndarray] = field(default_factory=dict)

    def __str__(self) -> str:
        head = "  px     nm   kept  neighbours  overlap  angle error  score   share of m = 0 .. 6"
        lines = [
            f"{row['window_px']:4d}  {row['window_nm']:5.2f}  {row['share_kept']:4.0%}  "
            f"{row['neighbours']:10.1f}  {row['overlap']:7.0%}  {row['angle_error_deg']:10.2f}°  "
            f"{row['score']:5.2f}   " + " ".join(f"{share:4.2f}" for share in row["order_share"])
            for row in self.table
        ]
        return "\n".join([head, *lines, self.reason])


def window_report(image, positions, sizes_px=None, *, kinds=None) -> WindowReport:
    """Compare window sizes for one image and recommend one.

    The expected angle error is read from the image itself: sub-images most alike are averaged to
    a motif, and what each differs from it along the change that a small turn would make is the
    error of its angle. That error falls with size for ever, but so does the share of columns whose
    window lies inside the image: the score, share kept times the chance of an angle within one
    degree, has its best value between. Recommended is the smallest of the best among the sizes
    whose disk holds at least two neighbours.

    Parameters
    ----------
    image : (H, W) array or hyperspy Signal2D
    positions : (N, 2) array or Columns
    sizes_px : sequence of int, optional
        By default from 1.5 to 6 times the distance between neighbouring columns.
    kinds : (N,) of str, optional
        What is known of each column, such as its sublattice, to see the orders of each kind.

    Raises
    ------
    ValueError
        If there is not one kind for each position, if a size is not a whole number of at least 8,
        or if no size keeps a column.
    """
    values, places = as_image(image), as_positions(positions)
    kinds = np.full(len(places), "") if kinds is None else np.asarray(kinds, dtype=str)
    if len(kinds) != len(places):
        raise ValueError(f"{len(kinds)} kinds for {len(places)} positions: give one for each")
    finite = np.isfinite(places).all(axis=1)
    places, kinds = places[finite], kinds[finite]
    spacing = neighbour_distance(places)
    sizes = _as_sizes(sizes_px, np.median(spacing), values.shape)
    noise = float(np.mean(ndimage.convolve(values, ROUGHNESS) ** 2))
    table = np.zeros(len(sizes), ROW)
    table["window_px"] = sizes
    table["window_nm"] = table["window_px"] * (pixel_size_nm(image) or np.nan)
    for unknown in ("neighbours", "overlap", "order_share", "ambiguity", "angle_error_deg"):
        table[unknown] = np.nan  # until a window of that size lies inside the image
    names = np.unique(kinds[kinds != ""]).tolist()
    share_of = {name: np.full((len(sizes), LARGEST_ORDER + 1), np.nan) for name in names}
    for n, row in enumerate(table):
        kept = inside_image(values.shape, places, row["window_px"])
        row["kept"], row["share_kept"] = len(kept), len(kept) / len(places)
        if len(kept):
            _count(row, places, kept, spacing[kept])
            some, power = _judge(row, values, places[kept], noise)
            for name in np.intersect1d(names, kinds[kept[some]]):
                share_of[name][n] = _shares(power[kinds[kept[some]] == name])
    if not table["kept"].any():
        none = f"sizes_px={sizes} keep no column of the {values.shape} image"
        raise ValueError(f"{none}: compare smaller windows")
    best = _recommended(table)
    return WindowReport(table, int(table["window_px"][best]), _reason(table, best), share_of)


def _as_sizes(sizes_px, spacing, shape) -> list[int]:
    if sizes_px is None and np.isfinite(spacing):
        sizes_px = np.rint(DEFAULT_OVER_SPACING * spacing).clip(SMALLEST_PX, min(shape))
    elif sizes_px is None:
        raise ValueError("one column has no neighbours to measure by: give sizes_px=[...]")
    return [as_whole("sizes_px", size, SMALLEST_PX) for size in np.unique(sizes_px).tolist()]


def _count(row, positions, kept, spacing) -> None:
    """Fill in what needs the positions only."""
    size = row["window_px"]
    inside = cKDTree(positions).query_ball_point(positions[kept], size / 2, return_length=True)
    row["neighbours"] = np.mean(inside - 1)
    apart = np.minimum(spacing / size, 1)  # in diameters of the disk
    lens = np.arccos(apart) - apart * np.sqrt(1 - apart**2)  # where two disks overlap
    row["overlap"] = np.mean(2 / np.pi * lens)


def _judge(row, values, positions, rough) -> tuple[np.ndarray, np.ndarray]:
    """Fill in what the sub-images tell: angular orders, angle error, ambiguity and score.

    Returns which columns were looked at (M,), and the power in each order around each, (M, m).
    """
    some, patch = _patches(positions)
    basis = DiskHarmonics.build(row["window_px"])
    stack = cut_subimages(values, positions[some], row["window_px"])[0]
    c = basis.project(stack).astype(np.float64)
    alike = min(ALIKE, len(c) - 1)
    mean = c[_most_alike(c, patch, 0 * c, alike)].mean(axis=1) if alike else c
    spread = np.mean((c - mean) ** 2, axis=1) * alike / (alike + 1)
    noise = max(rough, float(np.median(spread)), 1e-30)
    numbers = np.bincount(basis.order) - (np.arange(basis.order.max() + 1) == 0)  # no constant
    power = np.maximum(angular_power(mean, basis) - noise * numbers / max(alike, 1), 0)
    row["order_share"] = _shares(power)
    change = 1 - np.cos(2 * np.pi * np.outer(np.arange(power.shape[1]), 1 / np.array(FOLDS)))
    row["ambiguity"] = special.ndtr(-np.sqrt(power @ change / (2 * noise))).mean(axis=0)
    error_deg = np.array([NOTHING_KNOWN_DEG])
    if alike:
        error_deg = _angle_errors_deg(c, mean, patch, basis, noise, alike)
    row["angle_error_deg"] = np.median(error_deg)
    right = special.erf(RIGHT_WITHIN_DEG / (np.sqrt(2) * np.maximum(error_deg, 1e-9))).mean()
    row["score"] = row["share_kept"] * right
    return some, power


def _shares(power) -> np.ndarray:
    """How the power (M, m) of many columns divides among the angular orders, (7,)."""
    mean = np.pad(power.mean(axis=0), (0, LARGEST_ORDER))
    return mean[: LARGEST_ORDER + 1] / max(mean.sum(), 1e-30)


def _patches(positions) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the columns of a few patches, and the patch of each.

    Within a patch like columns are turned alike, thick alike, and of one grain, but for the few
    patches that a boundary crosses.
    """
    count = min(PATCH, len(positions))
    middles = np.linspace(0, len(positions) - 1, min(PATCHES, len(positions) // count) + 2)[1:-1]
    around = cKDTree(positions).query(positions[middles.astype(int)], range(1, count + 1))[1]
    return around.ravel(), np.repeat(np.arange(len(around)), count)


def _angle_errors_deg(c, mean, patch, basis, noise, alike) -> np.ndarray:
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
    steepness = length**2 - noise * np.sum(basis.order**2) / alike
    along = np.sum(turn * (c - mean), axis=1)
    squared = along**2 * alike / (alike + 1) / np.maximum(steepness, 1e-30)
    squared = (squared + squared[near].sum(axis=1)) / (alike + 1)
    return np.minimum(np.rad2deg(np.sqrt(squared)), NOTHING_KNOWN_DEG)


def _small_turn(motifs, basis) -> tuple[np.ndarray, np.ndarray]:
    """Direction (M, K) in which motifs change as they turn, and by how much a radian, (M,)."""
    still, cosine, sine = basis.split(motifs)
    slope = np.hstack([0 * still, -sine * basis.pair_order, cosine * basis.pair_order])
    length = np.linalg.norm(slope, axis=1)
    return slope / np.maximum(length, 1e-30)[:, None], length


def _most_alike(c, patch, turn, alike: int) -> np.ndarray:
    """Rows (M, alike) of those of its patch most like each sub-image, but along `turn`."""
    length = np.sum(c**2, axis=1)
    apart = length[:, None] + length - 2 * c @ c.T
    apart -= (np.sum(turn * c, axis=1)[:, None] - turn @ c.T) ** 2
    apart[(patch[:, None] != patch) | np.eye(len(c), dtype=bool)] = np.inf
    return np.argsort(apart, axis=1)[:, :alike]


def _recommended(table) -> int:
    """Index of the smallest window whose score is as good as the best.

    Windows that show the column alone do not count, unless there is nothing else: an angle read
    from them would be that of the probe.
    """
    sees = table["neighbours"] >= FEWEST_NEIGHBOURS
    score = np.where(sees | ~sees.any(), table["score"], -1)
    return int(np.flatnonzero(score >= score.max() - EQUAL_SCORE)[0])


def _reason(table, best) -> str:
    row = table[best]
    nm = f" ({row['window_nm']:.2f} nm)" if np.isfinite(row["window_nm"]) else ""
    text = (
        f"{row['window_px']} px{nm}: the disk holds {row['neighbours']:.0f} neighbours, the angle "
        f"is expected within {row['angle_error_deg']:.2g}°, and {row['share_kept']:.0%} of the "
        "columns keep a whole window"
    )
    for below in table[:best][-1:]:
        text += f"; {below['window_px']} px would see less (angle {below['angle_error_deg']:.2g}°)"
    for above in table[best + 1 :][:1]:
        text += f"; {above['window_px']} px would keep {above['share_kept']:.0%} of the columns"
    return text + "."
