"""What every step does first: turn what the user hands in into a clean array that fits."""

import warnings
from numbers import Real

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

LARGEST_SHARE_OF_NAN = 0.01
PIXEL_SIZE_TOLERANCE = 0.03


def as_image(image) -> np.ndarray:
    """Return `image` as a finite float32 array (rows, columns).

    Parameters
    ----------
    image : numpy.ndarray or hyperspy Signal2D
        One image. A few missing pixels (NaN or infinite, at most 1 %) are filled from the nearest
        valid one, with a warning that counts them.

    Raises
    ------
    ValueError
        If `image` is not 2-D, is empty, is constant, or misses more than 1 % of its pixels.
    """
    values = one_frame(image)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"the image holds {values.dtype} values, but real numbers are needed")
    values = values.astype(np.float32)
    missing = ~np.isfinite(values)
    count = missing.sum()
    if count > LARGEST_SHARE_OF_NAN * values.size:
        most = f"at most {LARGEST_SHARE_OF_NAN:.0%} can be filled: crop the image to its valid part"
        raise ValueError(f"{count} of {values.size} pixels are NaN or infinite, but {most}")
    if count:
        warnings.warn(f"{count} NaN or infinite pixels were filled from neighbours", stacklevel=2)
        _, nearest = ndimage.distance_transform_edt(missing, return_indices=True)
        values = values[tuple(nearest)]
    if values.min() == values.max():
        raise ValueError(f"the image is constant ({values.flat[0]:g}): is it the right signal?")
    return values


def one_frame(image) -> np.ndarray:
    """The values of `image` as they are; a ValueError unless they are (rows, columns)."""
    values = np.asarray(getattr(image, "data", image))
    if values.ndim != 2 or values.size == 0:
        found = f"the image has shape {values.shape}, but (rows, columns) is needed"
        raise ValueError(f"{found}: take one frame, or the mean of align_stack(stack)")
    return values


def frames_of(stack):
    """The values of a stack as they are: of a lazy one nothing is read."""
    values = stack.data if hasattr(stack, "axes_manager") else stack
    return values if hasattr(values, "ndim") else np.asarray(values)


def as_positions(positions) -> np.ndarray:
    """Return `positions` (N, 2) [row, column] in pixels as float64, taking a Columns table too.

    Raises
    ------
    ValueError
        If the shape is not (N, 2), N is zero, or no position is finite.
    """
    values = np.asarray(getattr(positions, "positions", positions), dtype=np.float64)
    finite = np.isfinite(values)
    if values.ndim != 2 or values.shape[1] != 2 or not finite.all(axis=1).any():
        found = f"positions have shape {values.shape} and {finite.sum()} finite numbers"
        wanted = "(N, 2) is needed, one [row, column] in pixels a column: locate the columns again"
        raise ValueError(f"{found}, but {wanted}")
    return values


def one_each(values, positions, name: str) -> np.ndarray:
    """Return `values` (N,) as float64; a ValueError unless there is one for each position."""
    values, count = np.asarray(values, dtype=np.float64), len(as_positions(positions))
    if values.shape != (count,):
        found = f"{name} has shape {values.shape}, but ({count},) is needed, one number a column"
        raise ValueError(f"{found}: pass positions[kept], as cut_subimages kept them")
    return values


def as_whole(name: str, value, least: int, most: float = np.inf) -> int:
    """Return `value` as an int; a ValueError unless it is a whole number within the limits."""
    if not (isinstance(value, Real) and least <= value <= most and value % 1 == 0):
        limits = f"of at least {least}" if most == np.inf else f"from {least} to {most}"
        raise ValueError(f"{name}={value!r}, but a whole number {limits} is needed")
    return int(value)


def as_positive(name: str, value) -> float:
    """Return `value` as a float; a ValueError unless it is a finite number greater than 0."""
    if not (isinstance(value, Real) and value is not True and 0 < value < np.inf):
        raise ValueError(f"{name}={value!r}, but a number greater than 0 is needed")
    return float(value)


def as_stack(stack, window_px: int | None = None):
    """Return `stack` as it is; a ValueError unless it is (M, w, w), of `window_px` if given."""
    shape = np.shape(stack)
    side = window_px or (shape[-1] if shape else 0)
    if len(shape) != 3 or shape[0] == 0 or shape[1:] != (side, side):
        found = f"the sub-images have shape {shape}, but (M, {side}, {side}) is needed"
        cut = f"cut_subimages(image, positions, {side})"
        raise ValueError(f"{found}: cut them with {cut}, or pass one motif as motif[None]")
    return stack


def neighbour_distance(positions: np.ndarray) -> np.ndarray:
    """Distance (N,) of each of N points from the nearest other one; infinite for one alone."""
    return cKDTree(positions).query(positions, k=2)[0][:, 1]


def median_spacing(positions: np.ndarray, alone: float = np.nan) -> float:
    """Median distance of points (N, 2) from their nearest neighbours; `alone` if there are none."""
    finite = positions[np.isfinite(positions).all(axis=1)]
    spacing = np.median(neighbour_distance(finite)) if len(finite) > 1 else 0
    return float(spacing) if spacing > 0 else alone


def border_distance(positions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How far (N,) inside the outermost pixel centres the positions lie; negative outside."""
    return np.minimum(positions, np.array(shape) - 1 - positions).min(axis=1)


def pixel_size_nm(image) -> float | None:
    """Pixel size in nm from the axes of a Signal2D, or None for arrays and axes left in px."""
    if not hasattr(image, "axes_manager"):
        return None
    axis = image.axes_manager.signal_axes[0]
    return float(axis.scale) if str(axis.units) == "nm" else None


def warn_of_other_pixel_size(trained_nm: float | None, given_nm: float | None) -> None:
    """Warn when an image is sampled otherwise than the one that a model was trained on."""
    if trained_nm and given_nm and abs(given_nm / trained_nm - 1) > PIXEL_SIZE_TOLERANCE:
        sizes = f"trained at {trained_nm:g} nm a pixel, this stack has {given_nm:g} nm"
        warnings.warn(f"the model was {sizes}: resample to the model's pixel size", stacklevel=3)
