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
        One image. A few missing pixels (NaN, infinite or masked, at most 1 %) are filled from
        the nearest valid one, with a warning that counts them.

    Raises
    ------
    ValueError
        If `image` is not 2-D, is empty, is constant, or misses more than 1 % of its pixels.
    """
    values = one_frame(image)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"the image holds {values.dtype} values, but real numbers are needed")
    values = values.astype(np.float32)
    is_missing = ~np.isfinite(values)
    count = is_missing.sum()
    if count > LARGEST_SHARE_OF_NAN * values.size:
        message = (
            f"{count} of {values.size} pixels are NaN or infinite, but "
            f"at most {LARGEST_SHARE_OF_NAN:.0%} can be filled: crop the image to its valid part"
        )
        raise ValueError(message)
    if count:
        warnings.warn(f"{count} NaN or infinite pixels were filled from neighbours", stacklevel=2)
        values = _filled_from_nearest(values, is_missing)
    if values.min() == values.max():
        raise ValueError(f"the image is constant ({values.flat[0]:g}): is it the right signal?")
    return values


def _filled_from_nearest(values: np.ndarray, is_missing: np.ndarray) -> np.ndarray:
    """A copy in which each missing pixel has the value of the nearest valid one."""
    _, nearest = ndimage.distance_transform_edt(is_missing, return_indices=True)
    row, column = nearest
    return values[row, column]


def one_frame(image) -> np.ndarray:
    """The values of `image`, masked ones as NaN; a ValueError unless they are (rows, columns)."""
    values = values_of(image)
    if values.ndim != 2 or values.size == 0:
        message = (
            f"the image has shape {values.shape}, but (rows, columns) is needed: "
            f"take one frame, or the mean of align_stack(stack)"
        )
        raise ValueError(message)
    return values


def values_of(data, dtype=None) -> np.ndarray:
    """A plain array of the values as they are, but NaN for a masked real number.

    Parameters
    ----------
    data : numpy.ndarray, masked or not, dask array, hyperspy signal, or a list of these
        What is lazy is read.
    dtype : optional
        Of the array that is returned; by default that of the values, if it can hold a NaN.
    """
    # The attribute `data` of an array is all its values, without the mask.
    is_array = isinstance(data, np.ndarray | np.generic)
    values = data if is_array else getattr(data, "data", data)
    # NumPy would drop the masks of what is lazy, and those of the parts of a list.
    if hasattr(values, "compute"):
        values = values.compute()
    elif isinstance(values, list | tuple):
        values = [part if np.isscalar(part) else values_of(part) for part in values]
    plain = np.asarray(values)
    is_masked = np.ma.getmask(values)
    if plain.dtype.kind in "biuf" and np.any(is_masked):
        holds_nan = plain.dtype.kind == "f"
        plain = plain.astype(plain.dtype if holds_nan else np.float64)
        plain[is_masked] = np.nan
    return np.asarray(plain, dtype)


def frames_of(stack):
    """The values of a stack as they are: of a lazy one nothing is read. A list becomes an array.

    ValueError if it is a list of images of several shapes.
    """
    is_signal = hasattr(stack, "axes_manager")
    values = stack.data if is_signal else stack
    if hasattr(values, "ndim"):
        return values
    parts = values if isinstance(values, list | tuple) else ()
    shapes = {np.shape(part) for part in parts}
    if len(shapes) > 1:
        message = f"a list of images of shapes {sorted(shapes)}, but one is needed: cut them alike"
        raise ValueError(message)
    return values_of(values)


def as_positions(positions) -> np.ndarray:
    """Return `positions` (N, 2) [row, column] in pixels as float64, taking a Columns table too.

    A masked position is missing, and becomes NaN.

    Raises
    ------
    ValueError
        If the shape is not (N, 2), N is zero, or no position is finite.
    """
    coordinates = getattr(positions, "positions", positions)
    values = values_of(coordinates, np.float64)
    is_finite = np.isfinite(values)
    is_list_of_pairs = values.ndim == 2 and values.shape[1] == 2
    if not is_list_of_pairs or not is_finite.all(axis=1).any():
        message = (
            f"positions have shape {values.shape} and {is_finite.sum()} finite numbers, "
            f"but (N, 2) is needed, one [row, column] in pixels a column: locate the columns again"
        )
        raise ValueError(message)
    return values


def one_each(values, positions, name: str) -> np.ndarray:
    """Return `values` (N,) as float64, masked ones as NaN.

    ValueError unless there is one for each position.
    """
    values = values_of(values, np.float64)
    count = len(as_positions(positions))
    if values.shape != (count,):
        message = (
            f"{name} has shape {values.shape}, but ({count},) is needed, one number a column: "
            f"pass positions[kept], as cut_subimages kept them"
        )
        raise ValueError(message)
    return values


def as_whole(name: str, value, least: int, most: float = np.inf) -> int:
    """Return `value` as an int; a ValueError unless it is a whole number within the limits."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if is_number and least <= value <= most and value % 1 == 0:
        return int(value)
    if most == np.inf:
        limits = f"of at least {least}"
    else:
        limits = f"from {least} to {most}"
    raise ValueError(f"{name}={value!r}, but a whole number {limits} is needed")


def as_positive(name: str, value) -> float:
    """Return `value` as a float; a ValueError unless it is a finite number greater than 0."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if is_number and 0 < value < np.inf:
        return float(value)
    raise ValueError(f"{name}={value!r}, but a number greater than 0 is needed")


def as_pixel_size(pixel_size_nm) -> float | None:
    """Return `pixel_size_nm` as a float, or None; a ValueError unless it is greater than 0."""
    if pixel_size_nm is None:
        return None
    return as_positive("pixel_size_nm", pixel_size_nm)


def as_stack(stack, window_px: int | None = None):
    """The sub-images of `stack` as they are, those of a list as an array.

    ValueError unless they are (M, w, w), of `window_px` if given, and M is not zero.
    """
    stack = frames_of(stack)
    require_some(stack)
    shape = stack.shape
    side = window_px
    if not side:
        side = shape[-1] if shape else 0
    if len(shape) != 3 or shape[1:] != (side, side):
        message = (
            f"the sub-images have shape {shape}, but (M, {side}, {side}) is needed: "
            f"cut them with cut_subimages(image, positions, {side}), "
            f"or pass one motif as motif[None]"
        )
        raise ValueError(message)
    return stack


def require_some(stack) -> None:
    """A ValueError if a stack (M, ...) of sub-images, or of their coefficients, holds none."""
    shape = stack.shape
    if shape[:1] == (0,):
        message = (
            f"no sub-images were given, their shape is {shape}: "
            f"the mask, slice or list of indices that chose them took none; count what it takes"
        )
        raise ValueError(message)


def neighbour_distance(positions: np.ndarray) -> np.ndarray:
    """Distance (N,) of each of N points from the nearest other one; infinite for one alone."""
    tree = cKDTree(positions)
    # The nearest point to each one is that point itself.
    distances_px, _ = tree.query(positions, k=2)
    return distances_px[:, 1]


def median_spacing(positions: np.ndarray, alone: float = np.nan) -> float:
    """Median distance of points (N, 2) from their nearest neighbours; `alone` if there are none."""
    is_finite = np.isfinite(positions).all(axis=1)
    finite = positions[is_finite]
    if len(finite) < 2:
        return alone
    distances_px = neighbour_distance(finite)
    spacing_px = np.median(distances_px)
    return float(spacing_px) if spacing_px > 0 else alone


def border_distance(positions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How far (N,) inside the outermost pixel centres the positions lie; negative outside."""
    from_top_left = positions
    from_bottom_right = np.array(shape) - 1 - positions
    nearest = np.minimum(from_top_left, from_bottom_right)
    return nearest.min(axis=1)


def pixel_size_nm(image) -> float | None:
    """Pixel size in nm from the axes of a Signal2D, or None for arrays and axes left in px."""
    if not hasattr(image, "axes_manager"):
        return None
    axis = image.axes_manager.signal_axes[0]
    if str(axis.units) != "nm":
        return None
    return float(axis.scale)


def warn_of_other_pixel_size(trained_nm: float | None, given_nm: float | None) -> None:
    """Warn when an image is sampled otherwise than the one that a model was trained on.

    ValueError if the size that is given is no number greater than 0.
    """
    given_nm = as_pixel_size(given_nm)
    if not trained_nm or not given_nm:
        return
    ratio = given_nm / trained_nm
    if abs(ratio - 1) > PIXEL_SIZE_TOLERANCE:
        message = (
            f"the model was trained at {trained_nm:g} nm a pixel, "
            f"this stack has {given_nm:g} nm: resample to the model's pixel size"
        )
        warnings.warn(message, stacklevel=3)
