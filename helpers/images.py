"""What every step does first: turn what the user hands in into a clean array that fits."""

import warnings
from numbers import Real

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

LARGEST_SHARE_OF_NAN = 0.01
PIXEL_SIZE_TOLERANCE = 0.03
# A probe a pixel wide leaves over a hundredth of a bright spot in the pixels beside it.
FAR = 100.0
# One count, and the most that a detector counts: single precision holds no wider range.
WIDEST_RANGE = 2.0**24
SEARCHED_SHARE = 0.05  # of the pixels, at the most, are looked at as outlying ones
SAMPLE = 2**18  # pixels are enough to see how far nearly all reach
NAMED = 3  # outlying pixels
VALUES_LIMITS = (1e-12, 1e12)  # squares of squares of others are no numbers in single precision


def as_image(image) -> np.ndarray:
    """Return `image` as a finite float32 array (rows, columns).

    Parameters
    ----------
    image : numpy.ndarray or hyperspy Signal2D
        One image. A few pixels (at most 1 %) that are missing (NaN, infinite or masked), or so far
        outside all others that no detector can have recorded them, are filled from the nearest
        valid one, with a warning that counts and names them.

    Raises
    ------
    ValueError
        If `image` is not 2-D, is empty, is constant, lacks more than 1 % of its pixels, or its
        values are too large or too small for single precision.
    """
    values = one_frame(image)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"the image holds {values.dtype} values, but real numbers are needed")
    # What single precision cannot hold is to be named as it is.
    is_double = values.dtype.kind == "f" and values.dtype.itemsize > 4
    values = values.astype(np.float64 if is_double else np.float32)
    is_missing = ~np.isfinite(values)
    with np.errstate(over="ignore", invalid="ignore"):
        is_outlying = _outlying(values)
    filled = is_missing | is_outlying
    if filled.any():
        _require_few(values, is_missing, is_outlying)
        _say_filled(values, is_missing, is_outlying)
        values = _filled_from_nearest(values, filled)
    _require_scale(values)
    values = values.astype(np.float32)
    if values.min() == values.max():
        raise ValueError(f"the image is constant ({values.flat[0]:g}): is it the right signal?")
    return values


def _outlying(values: np.ndarray) -> np.ndarray:
    """Pixels (H, W) bool that no detector can have recorded beside the others.

    They are parted from all others by a gap: FAR times as far from the median as any of these. A
    bright particle on vacuum may be as well, but is thick, as is every spot that a probe makes.
    Pixels, and lines one pixel thin, have no part in any square of 2 x 2 such pixels. Beyond
    WIDEST_RANGE they may be 3 pixels thick. Where nearly all others are equal, as in an image of
    few counts, nothing says what is far, and the widest range alone counts.
    """
    outlying = np.zeros(values.shape, bool)
    is_finite = np.isfinite(values)
    finite = values if is_finite.all() else values[is_finite]
    if finite.size == 0:
        return outlying
    # The gap asked for below would be wider than this, of an image with no pixel to be named.
    every = finite.size // SAMPLE + 1
    tails = [100 * SEARCHED_SHARE, 100 * (1 - SEARCHED_SHARE)]
    low, high = np.percentile(finite.ravel()[::every], tails)
    if float(finite.max()) - float(finite.min()) < FAR / 3 * (high - low):
        return outlying
    distance = np.zeros(values.shape)
    distance[is_finite] = np.abs(finite.ravel() - np.float64(np.median(finite)))
    for limit, times in _gaps(distance):
        beyond = distance > limit
        if times >= WIDEST_RANGE:
            outlying |= beyond & ~_thick(beyond, 4)
        elif high > low:
            thin = beyond & ~_thick(beyond, 2)
            # More than can be filled are a pattern, such as columns of one pixel each.
            if thin.sum() <= LARGEST_SHARE_OF_NAN * values.size:
                outlying |= thin
    return outlying


def _gaps(distance: np.ndarray) -> list[tuple[float, float]]:
    """Below each gap among the farthest pixels: their distance, and how many times it the next."""
    first = int((1 - SEARCHED_SHARE) * distance.size)
    farthest = np.partition(distance, first, axis=None)[first:]
    farthest = np.sort(farthest[farthest > 0])
    times = farthest[1:] / farthest[:-1]
    return [(farthest[below], times[below]) for below in np.flatnonzero(times >= FAR)]


def _thick(mask: np.ndarray, side_px: int) -> np.ndarray:
    """The part of a mask (H, W) that squares of this side cover."""
    square = np.ones((side_px, side_px), bool)
    return ndimage.binary_opening(mask, square)


def _require_few(
    values: np.ndarray,
    is_missing: np.ndarray,
    is_outlying: np.ndarray,
) -> None:
    """A ValueError if more pixels are missing or outlying than can be filled."""
    filled = is_missing | is_outlying
    count = filled.sum()
    if count <= LARGEST_SHARE_OF_NAN * values.size:
        return
    faults = "NaN or infinite"
    if is_outlying.any():
        faults = f"NaN, infinite or far outside all others ({_places(values, is_outlying)})"
    message = (
        f"{count} of {values.size} pixels are {faults}, but "
        f"at most {LARGEST_SHARE_OF_NAN:.0%} can be filled: crop the image to its valid part"
    )
    raise ValueError(message)


def _say_filled(
    values: np.ndarray,
    is_missing: np.ndarray,
    is_outlying: np.ndarray,
) -> None:
    """Warn of pixels that are filled, in the name of the caller of `as_image`."""
    count = is_missing.sum()
    if count:
        warnings.warn(f"{count} NaN or infinite pixels were filled from neighbours", stacklevel=3)
    count = is_outlying.sum()
    if count:
        others = values[~is_missing & ~is_outlying]
        subject = "1 pixel is" if count == 1 else f"{count} pixels are"
        verb = "was" if count == 1 else "were"
        message = (
            f"{subject} far outside all others ({others.min():g} to {others.max():g}) "
            f"and {verb} filled from neighbours: {_places(values, is_outlying)}"
        )
        warnings.warn(message, stacklevel=3)


def _places(values: np.ndarray, which: np.ndarray) -> str:
    """The first values of a mask (H, W), and where they stand."""
    places = np.argwhere(which)
    named = [f"{values[row, col]:g} at [{row}, {col}]" for row, col in places[:NAMED].tolist()]
    further = len(places) - len(named)
    more = f" and {further} more" if further else ""
    return ", ".join(named) + more


def _filled_from_nearest(values: np.ndarray, is_missing: np.ndarray) -> np.ndarray:
    """A copy in which each missing pixel has the value of the nearest valid one."""
    _, nearest = ndimage.distance_transform_edt(is_missing, return_indices=True)
    row, column = nearest
    return values[row, column]


def _require_scale(values: np.ndarray) -> None:
    """A ValueError if finite values, such as those in SI units, are of an order that is no use."""
    least, most = VALUES_LIMITS
    largest = float(np.abs(values).max())
    span = float(values.max()) - float(values.min())
    # Of values that hardly differ one says that they are constant.
    is_narrow = 1e-6 * largest < span < least
    if largest <= most and not is_narrow:
        return
    size = span if is_narrow else largest
    divisor = 10.0 ** np.floor(np.log10(size))
    message = (
        f"the values are {values.min():g} to {values.max():g}, but they must differ by {least:g} "
        f"at least and reach {most:g} at most, for single precision: "
        f"divide the image by {divisor:g}, or export it in other units, such as counts"
    )
    raise ValueError(message)


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
    values = as_numbers("positions", coordinates)
    is_finite = np.isfinite(values)
    is_list_of_pairs = values.ndim == 2 and values.shape[1] == 2
    if not is_list_of_pairs or not is_finite.all(axis=1).any():
        message = (
            f"positions have shape {values.shape} and {is_finite.sum()} finite numbers, "
            f"but (N, 2) is needed, one [row, column] in pixels a column: locate the columns again"
        )
        raise ValueError(message)
    return values


def as_numbers(name: str, values) -> np.ndarray:
    """Return `values` as float64, masked ones as NaN; a ValueError if they are something else."""
    try:
        return values_of(values, np.float64)
    except (TypeError, ValueError):
        kind = type(values).__name__
        message = f"{name} are {_shortly(values)} ({kind}), but an array of numbers is needed"
        raise ValueError(message) from None


def _shortly(value) -> str:
    """How a value looks, in at most 60 letters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


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
