"""Choose the size of the sub-images: what each size sees, what it costs, and which one to take."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..images import as_image, as_positions, as_whole, neighbour_distance, pixel_size_nm
from .cut import inside_image
from .judging import FOLDS, LARGEST_ORDER, judge, shares

FEWEST_NEIGHBOURS = 2.0  # inside the disk, on average
EQUAL_SCORE = 0.01  # sizes this close to the best count as equal: the smallest of them is taken
DEFAULT_OVER_SPACING = np.array([1.5, 2, 2.5, 3, 3.5, 4, 5, 6])
SMALLEST_PX = 8
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
        lines = [_as_text(row) for row in self.table]
        return "\n".join([head, *lines, self.reason])


def _as_text(row: np.void) -> str:
    """One line of the report as it prints."""
    shares = " ".join(f"{share:4.2f}" for share in row["order_share"])
    return (
        f"{row['window_px']:4d}  "
        f"{row['window_nm']:5.2f}  "
        f"{row['share_kept']:4.0%}  "
        f"{row['neighbours']:10.1f}  "
        f"{row['overlap']:7.0%}  "
        f"{row['angle_error_deg']:10.2f}°  "
        f"{row['score']:5.2f}   "
        f"{shares}"
    )


def window_report(
    image,
    positions,
    sizes_px=None,
    *,
    kinds=None,
) -> WindowReport:
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
    values = as_image(image)
    places = as_positions(positions)
    kinds = _as_kinds(kinds, len(places))
    finite = np.isfinite(places).all(axis=1)
    places = places[finite]
    kinds = kinds[finite]
    spacing_px = neighbour_distance(places)
    sizes = _as_sizes(sizes_px, np.median(spacing_px), values.shape)
    noise = _white_noise(values)
    table = _empty_table(sizes, pixel_size_nm(image))
    share_of = _empty_shares(kinds, len(sizes))
    for n, row in enumerate(table):
        share_here = _fill(row, values, places, spacing_px, kinds=kinds, noise=noise)
        for name, share in share_here.items():
            share_of[name][n] = share
    if not table["kept"].any():
        message = (
            f"sizes_px={sizes} keep no column of the {values.shape} image: compare smaller windows"
        )
        raise ValueError(message)
    best = _recommended(table)
    recommended_px = int(table["window_px"][best])
    return WindowReport(table, recommended_px, _reason(table, best), share_of)


def _as_kinds(kinds, count: int) -> np.ndarray:
    """The kind (N,) of each position as text, empty where none is given."""
    if kinds is None:
        return np.full(count, "")
    kinds = np.asarray(kinds, dtype=str)
    if len(kinds) != count:
        raise ValueError(f"{len(kinds)} kinds for {count} positions: give one for each")
    return kinds


def _as_sizes(
    sizes_px,
    spacing_px: float,
    shape: tuple[int, int],
) -> list[int]:
    if sizes_px is None and not np.isfinite(spacing_px):
        raise ValueError("one column has no neighbours to measure by: give sizes_px=[...]")
    if sizes_px is None:
        wanted_px = np.rint(DEFAULT_OVER_SPACING * spacing_px)
        sizes_px = wanted_px.clip(SMALLEST_PX, min(shape))
    ascending = np.unique(sizes_px).tolist()
    return [as_whole("sizes_px", size, SMALLEST_PX) for size in ascending]


def _white_noise(values: np.ndarray) -> float:
    """Variance of the noise of an image, were it white: of what is not smooth."""
    rough = ndimage.convolve(values, ROUGHNESS)
    return float(np.mean(rough**2))


def _empty_table(sizes: list[int], pixel_nm: float | None) -> np.ndarray:
    """One row a size; NaN in what is unknown until a window of that size lies inside the image."""
    table = np.zeros(len(sizes), ROW)
    table["window_px"] = sizes
    table["window_nm"] = table["window_px"] * (pixel_nm or np.nan)
    for unknown in ("neighbours", "overlap", "order_share", "ambiguity", "angle_error_deg"):
        table[unknown] = np.nan
    return table


def _empty_shares(kinds: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """For each kind that has a name, NaN (count, 7)."""
    named = kinds[kinds != ""]
    share_of = {}
    for name in np.unique(named).tolist():
        share_of[name] = np.full((count, LARGEST_ORDER + 1), np.nan)
    return share_of


def _fill(
    row: np.void,
    values: np.ndarray,
    positions: np.ndarray,
    spacing_px: np.ndarray,
    *,
    kinds: np.ndarray,
    noise: float,
) -> dict[str, np.ndarray]:
    """Fill in one row; return the order shares (7,) of each kind that was looked at."""
    kept = inside_image(values.shape, positions, row["window_px"])
    row["kept"] = len(kept)
    row["share_kept"] = len(kept) / len(positions)
    if len(kept) == 0:
        return {}
    _count(row, positions, kept, spacing_px[kept])
    looked_at, power = judge(row, values, positions[kept], noise)
    kind_of = kinds[kept[looked_at]]
    named = kind_of[kind_of != ""]
    share_of = {}
    for name in np.unique(named).tolist():
        share_of[name] = shares(power[kind_of == name])
    return share_of


def _count(
    row: np.void,
    positions: np.ndarray,
    kept: np.ndarray,
    spacing_px: np.ndarray,
) -> None:
    """Fill in what needs the positions only."""
    size_px = row["window_px"]
    radius_px = size_px / 2
    tree = cKDTree(positions)
    inside = tree.query_ball_point(
        positions[kept],
        radius_px,
        return_length=True,
    )
    row["neighbours"] = np.mean(inside - 1)
    apart = np.minimum(spacing_px / size_px, 1)  # in diameters of the disk
    lens = np.arccos(apart) - apart * np.sqrt(1 - apart**2)  # where two disks overlap
    row["overlap"] = np.mean(2 / np.pi * lens)


def _recommended(table: np.ndarray) -> int:
    """Index of the smallest window whose score is as good as the best.

    Windows that show the column alone do not count, unless there is nothing else: an angle read
    from them would be that of the probe.
    """
    sees = table["neighbours"] >= FEWEST_NEIGHBOURS
    counts = sees | ~sees.any()
    score = np.where(counts, table["score"], -1)
    good = np.flatnonzero(score >= score.max() - EQUAL_SCORE)
    return int(good[0])


def _reason(table: np.ndarray, best: int) -> str:
    row = table[best]
    size = f"{row['window_px']} px"
    if np.isfinite(row["window_nm"]):
        size = f"{row['window_px']} px ({row['window_nm']:.2f} nm)"
    text = (
        f"{size}: the disk holds {row['neighbours']:.0f} neighbours, the angle "
        f"is expected within {row['angle_error_deg']:.2g}°, and {row['share_kept']:.0%} of the "
        "columns keep a whole window"
    )
    if best > 0:
        below = table[best - 1]
        text += f"; {below['window_px']} px would see less (angle {below['angle_error_deg']:.2g}°)"
    if best + 1 < len(table):
        above = table[best + 1]
        text += f"; {above['window_px']} px would keep {above['share_kept']:.0%} of the columns"
    return text + "."
