"""The size of a pixel in nanometres, from what a file says of its axes."""

import math
import re
import warnings
from pathlib import Path

from .refusal import PIXEL_SIZE_OPTION

UNEQUAL_SCALES = 1e-3  # relative difference of row and column scale that is worth a warning

# Nanometres in one unit, in the spellings that microscope files use (compared in lower case).
_NM_IN = {
    1e9: "m meter meters metre metres",
    1e6: "mm millimeter millimeters millimetre millimetres",
    1e3: (
        "um \N{MICRO SIGN}m \N{GREEK SMALL LETTER MU}m micron microns "
        "micrometer micrometers micrometre micrometres"
    ),
    1.0: "nm n_m nanometer nanometers nanometre nanometres",
    0.1: "å a \N{ANGSTROM SIGN} ang angstrom angstroms ångström ångströms",
    1e-3: "pm picometer picometers picometre picometres",
}
_NM_PER_UNIT = {name.lower(): nm for nm, names in _NM_IN.items() for name in names.split()}


def calibrated(axes, pixel_size_nm: float | None, path: Path) -> list[dict]:
    """Rows and columns in nm, or in px with scale 1 where the file gives no usable unit.

    Warns
    -----
    UserWarning
        If there is no usable unit, or rows and columns are spaced unequally.
    """
    calibrations = [_calibration_nm(axis) for axis in axes]
    if pixel_size_nm is not None:
        calibrations = [{"scale": pixel_size_nm, "units": "nm"}] * 2
    elif not all(0 < calibration["scale"] < math.inf for calibration in calibrations):
        calibrations = [{"scale": 1.0, "units": "px"}] * 2
        sizes = ", ".join(f"{_scale_of(axis):.6g} {str(axis.units)!r}" for axis in axes)
        message = (
            f"{path.name}: the pixel size (rows, columns) of {sizes} is no length: "
            f"the axes stay in px; give {PIXEL_SIZE_OPTION} if you know it"
        )
        warnings.warn(message, stacklevel=5)
    rows_nm, columns_nm = (calibration["scale"] for calibration in calibrations)
    if abs(rows_nm - columns_nm) > UNEQUAL_SCALES * max(rows_nm, columns_nm):
        message = (
            f"{path.name}: rows are {rows_nm:.6g} nm apart, columns {columns_nm:.6g} nm: resample "
            f"to square pixels, or give {PIXEL_SIZE_OPTION} if the file is wrong"
        )
        warnings.warn(message, stacklevel=5)
    plain = [{"name": axis.name, "size": axis.size, "navigate": False} for axis in axes]
    return [axis | calibration for axis, calibration in zip(plain, calibrations, strict=True)]


def _calibration_nm(axis) -> dict:
    """Scale and offset in nm; NaN where the unit is no length."""
    units = _NM_PER_UNIT.get(_plain_unit(axis.units), math.nan)
    offset = axis.offset if axis.is_uniform else 0.0
    return {
        "scale": _scale_of(axis) * units,
        "offset": offset * units,
        "units": "nm",
    }


def _plain_unit(units) -> str:
    """A unit in lower case, without blanks and brackets; ImageJ writes letters by their number."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), str(units))
    return re.sub(r"[\s\[\]]", "", text).lower()


def _scale_of(axis) -> float:
    """The step of an axis; NaN for one of unequal steps, which has none."""
    return axis.scale if axis.is_uniform else math.nan
