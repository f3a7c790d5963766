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
        lines = [f"{name:16} {value:.4g}" for name, value in self.table.items()]
        return "\n".join([*lines, *(f"! {text}" for text in self.warnings)])


def check_quality(
    image, columns: Columns | None = None, *, lattice_nm: float | None = None
) -> QualityReport:
    """Judge an image and the columns found in it.

    Parameters
    ----------
    image : (H, W) array or hyperspy Signal2D
        Its calibration is used where there is one.
    columns : Columns, optional
        By default `locate_columns(image)`; all that it warns of is put into the report.
    lattice_nm : float, optional
        A known distance between equal columns, such as a lattice parameter. The commonest distance
        within 20 % of it tells how far off the pixel size is.

    Raises
    ------
    ValueError
        If the image is not usable, or `lattice_nm` is given without a pixel size or not positive.
    """
    size = pixel_size_nm(image)
    if lattice_nm is not None and (size is None or not lattice_nm > 0):
        remedy = "a positive length is needed, and load_image(path, pixel_size_nm=...)"
        raise ValueError(f"lattice_nm={lattice_nm} with a pixel size of {size} nm: {remedy}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = as_image(image)
        columns = locate_columns(image) if columns is None else columns
    spacing = median_spacing(columns.positions)
    badly = ~(columns.position_sd_px < LARGE_SD_OVER_SPACING * spacing)
    doubtful = badly | (columns.probability < SURE) | np.isnan(columns.amplitude)
    sure = columns[~doubtful]
    position_sd = float(np.median(sure.position_sd_px)) if len(sure) else np.nan
    table = {"columns": len(columns), "doubtful": int(doubtful.sum()), "spacing_px": spacing}
    table |= {"position_sd_px": position_sd, "saturated": float(np.mean(values == values.max()))}
    if size is not None:
        table |= {"spacing_nm": spacing * size, "position_sd_pm": 1e3 * size * position_sd}
    if lattice_nm is not None:
        measured = _commonest_distance(sure.positions, lattice_nm / size) * size
        table |= {"lattice_nm": measured, "scale_error": measured / lattice_nm - 1}
    said = dict.fromkeys(str(one.message) for one in caught)
    return QualityReport(columns, doubtful, table, (*said, *_warnings_of(table)))


def _commonest_distance(positions: np.ndarray, expected_px: float) -> float:
    """Mode of the distances between columns near an expected one; NaN where there are few."""
    if len(positions) < 2:
        return np.nan
    pairs = cKDTree(positions).query_pairs((1 + SEARCHED) * expected_px, output_type="ndarray")
    distance = np.sort(np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1))
    distance = distance[distance > (1 - SEARCHED) * expected_px]
    if len(distance) < 10:
        return np.nan
    ends = np.searchsorted(distance, distance + 0.03 * expected_px)
    first = np.argmax(ends - np.arange(len(distance)))
    return float(np.median(distance[first : ends[first]]))


def _warnings_of(table: dict[str, float]):
    """What the numbers of the table give reason to say."""
    if table["saturated"] > SATURATED_SHARE:
        share = f"{table['saturated']:.1%} of the pixels have the largest value"
        yield f"{share}, they are saturated: heights and widths of bright columns mean little"
    if table["doubtful"] > table["columns"] / 10:
        count = f"{table['doubtful']} of {table['columns']}"
        yield f"{count} columns are doubtful: look at them, leave them out, or average more frames"
    spacing, error = table.get("spacing_nm", np.nan), table.get("scale_error", 0.0)
    if spacing < POSSIBLE_NM[0] or spacing > POSSIBLE_NM[1]:
        apart = f"columns {spacing:.3g} nm apart exist in no crystal"
        yield f"{apart}: the header is wrong; give load_image(path, pixel_size_nm=...)"
    if np.isnan(error):
        rule = f"between equal columns in this direction, and the scale right within {SEARCHED:.0%}"
        yield f"no distance near the known lattice parameter was found: is it one {rule}?"
    elif abs(error) > SCALE_TOLERANCE:
        misfit = f"the lattice is {error:+.1%} off, so the header's scale does not fit"
        yield f"{misfit}: divide the pixel size by {1 + error:.3f}"
