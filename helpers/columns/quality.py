"""What to know of an image before its columns are trusted: a table, doubtful columns, warnings."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..images import as_image, median_spacing, pixel_size_nm
from .locate import locate_columns
from .table import Columns

SURE = 0.8  # a column that is less probable is doubtful
LARGE_SD_OVER_SPACING = 0.1  # so is one whose position is less certain than this
SATURATED_SHARE = 1e-3  # of all pixels at the very largest value
POSSIBLE_NM = (0.05, 1.0)  # between neighbouring columns in any crystal
SCALE_TOLERANCE = 0.03
SEARCHED = 0.2  # how far off the scale may be for the lattice parameter to be recognised


@dataclass(frozen=True)
class QualityReport:
    """What `check_quality` found.

    Attributes
    ----------
    columns : Columns
    doubtful : (N,) bool
        Columns that are improbable, badly placed, or could not be fitted.
    table : dict of str to float
        `columns`, `doubtful`, `spacing_px` and `position_sd_px` (medians), `saturated` (share of
        pixels); with a calibrated image also `spacing_nm` and `position_sd_pm`; with a known
        lattice parameter `lattice_nm` as measured and `scale_error` (measured over true, less 1).
    warnings : tuple of str
        In plain words, each with its remedy.
    """

    columns: Columns
    doubtful: np.ndarray
    table: dict[str, float]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        numbers = [f"{name:16} {value:.4g}" for name, value in self.table.items()]
        said = [f"! {text}" for text in self.warnings]
        return "\n".join([*numbers, *said])


def check_quality(
    image,
    columns: Columns | None = None,
    *,
    lattice_nm: float | None = None,
    probability: np.ndarray | None = None,
) -> QualityReport:
    """Judge an image and the columns found in it.

    Parameters
    ----------
    image : (H, W) array or hyperspy Signal2D
        Its calibration is used where there is one.
    columns : Columns, optional
        By default `locate_columns(image, probability)`; all that it warns of is put into the
        report.
    lattice_nm : float, optional
        A known distance between equal columns, such as a lattice parameter. The commonest distance
        within 20 % of it tells how far off the pixel size is.
    probability : (H, W) array, optional
        The map in which the columns are looked for; by default from `segment`.

    Raises
    ------
    ValueError
        If the image is not usable, or `lattice_nm` is given without a pixel size or not positive.
    """
    size_nm = pixel_size_nm(image)
    _require_scale(lattice_nm, size_nm)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = as_image(image)
        if columns is None:
            columns = locate_columns(image, probability)
    spacing_px = median_spacing(columns.positions)
    doubtful = _doubtful(columns, spacing_px)
    sure = columns[~doubtful]
    table = {
        "columns": len(columns),
        "doubtful": int(doubtful.sum()),
        "spacing_px": spacing_px,
        "position_sd_px": float(np.median(sure.position_sd_px)) if len(sure) else np.nan,
        "saturated": _saturated_share(values),
    }
    if size_nm is not None:
        table |= _in_nm(table, size_nm)
    if lattice_nm is not None:
        table |= _scale(sure.positions, lattice_nm, size_nm)
    # Each text once, in the order in which it was said.
    said = dict.fromkeys(str(one.message) for one in caught)
    return QualityReport(columns, doubtful, table, (*said, *_warnings_of(table)))


def _require_scale(lattice_nm: float | None, size_nm: float | None) -> None:
    """A ValueError if there is a known lattice parameter that cannot be compared with anything."""
    if lattice_nm is not None and (size_nm is None or not lattice_nm > 0):
        message = (
            f"lattice_nm={lattice_nm} with a pixel size of {size_nm} nm: "
            f"a positive length is needed, and load_image(path, pixel_size_nm=...)"
        )
        raise ValueError(message)


def _in_nm(table: dict[str, float], size_nm: float) -> dict[str, float]:
    """The lengths of a table that are in pixels, in nm and pm."""
    return {
        "spacing_nm": table["spacing_px"] * size_nm,
        "position_sd_pm": 1e3 * size_nm * table["position_sd_px"],
    }


def _doubtful(columns: Columns, spacing_px: float) -> np.ndarray:
    """Columns (N,) that are improbable, badly placed, or could not be fitted."""
    badly_placed = ~(columns.position_sd_px < LARGE_SD_OVER_SPACING * spacing_px)
    return badly_placed | (columns.probability < SURE) | np.isnan(columns.amplitude)


def _saturated_share(values: np.ndarray) -> float:
    """Share of the pixels that have the very largest value."""
    saturated = values == values.max()
    return float(np.mean(saturated))


def _scale(positions: np.ndarray, lattice_nm: float, size_nm: float) -> dict[str, float]:
    """A known lattice parameter as it is measured, and how far off the scale is then."""
    measured_nm = _commonest_distance(positions, lattice_nm / size_nm) * size_nm
    return {"lattice_nm": measured_nm, "scale_error": measured_nm / lattice_nm - 1}


def _commonest_distance(positions: np.ndarray, expected_px: float) -> float:
    """Mode of the distances between columns near an expected one; NaN where there are few."""
    if len(positions) < 2:
        return np.nan
    tree = cKDTree(positions)
    pairs = tree.query_pairs((1 + SEARCHED) * expected_px, output_type="ndarray")
    apart = positions[pairs[:, 0]] - positions[pairs[:, 1]]
    distance = np.sort(np.linalg.norm(apart, axis=1))
    distance = distance[distance > (1 - SEARCHED) * expected_px]
    if len(distance) < 10:
        return np.nan
    ends = np.searchsorted(distance, distance + 0.03 * expected_px)
    count = ends - np.arange(len(distance))
    first = np.argmax(count)
    commonest = distance[first : ends[first]]
    return float(np.median(commonest))


def _warnings_of(table: dict[str, float]):
    """What the numbers of the table give reason to say."""
    if table["saturated"] > SATURATED_SHARE:
        yield (
            f"{table['saturated']:.1%} of the pixels have the largest value, "
            f"they are saturated: heights and widths of bright columns mean little"
        )
    if table["doubtful"] > table["columns"] / 10:
        yield (
            f"{table['doubtful']} of {table['columns']} columns are doubtful: "
            f"look at them, leave them out, or average more frames"
        )
    spacing_nm = table.get("spacing_nm", np.nan)
    if spacing_nm < POSSIBLE_NM[0] or spacing_nm > POSSIBLE_NM[1]:
        yield (
            f"columns {spacing_nm:.3g} nm apart exist in no crystal: "
            f"the header is wrong; give load_image(path, pixel_size_nm=...)"
        )
    error = table.get("scale_error", 0.0)
    if np.isnan(error):
        yield (
            f"no distance near the known lattice parameter was found: is it one between equal "
            f"columns in this direction, and the scale right within {SEARCHED:.0%}?"
        )
    elif abs(error) > SCALE_TOLERANCE:
        yield (
            f"the lattice is {error:+.1%} off, so the header's scale does not fit: "
            f"divide the pixel size by {1 + error:.3f}"
        )
