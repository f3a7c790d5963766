"""Find the atomic columns: peaks of the probability map, then a Gaussian fitted to each."""

import warnings
from dataclasses import fields

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..images import as_image, as_positions, border_distance, median_spacing, values_of
from .confidence import confidence_at
from .gaussian_fit import AMPLITUDE, fit_gaussians
from .peaks import PROBABILITY_OF_A_COLUMN, probability_peaks, values_at
from .table import Columns

LONE_SPACING_PX = 15.0  # taken where there is one column only
SIGMA_OVER_SPACING = 0.2  # where the fit starts; it may end between 0.4 and 3 times this
WINDOW_OVER_SPACING = 0.6  # half a window just takes in the flanks of the nearest neighbours
WANDERED_OVER_SPACING = 0.25  # a fit that ends farther from its peak, or less sure, has lost it
SAME_OVER_SPACING = 0.3  # two fits closer than this are one column found twice
SIGNIFICANT = 3.0  # standard errors: what is less high is no column


def locate_columns(image, probability: np.ndarray | None = None) -> Columns:
    """Locate the atomic columns of one image to a fraction of a pixel.

    Peaks of the probability map start a two-dimensional Gaussian fit of all columns at once. A
    column whose fit finds nothing significant or wanders off keeps the position of its peak, with a
    standard error of a quarter of the distance between neighbours. Dropped are columns that turn
    out to lie outside the image, failed ones on its outermost pixels, and the fainter of two that
    end on the same spot.

    Parameters
    ----------
    image : (H, W) array or hyperspy Signal2D
        Columns are bright on a darker ground, as in ADF.
    probability : (H, W) array, optional
        Probability that a pixel belongs to a column; by default from `segment`.

    Returns
    -------
    Columns
        Empty, with a warning, where no pixel is likely to belong to a column.

    Raises
    ------
    ValueError
        If the image is not usable (see `as_image`), or the probability does not fit it.
    """
    values = as_image(image)
    if probability is None:
        from .segmentation import segment  # brings torch

        probability = segment(image)
    probability = _as_probability(probability, values.shape)
    peaks = probability_peaks(probability)
    if len(peaks) == 0:
        message = (
            f"no column found: the probability is {probability.max():.2f} at most, "
            f"but over {PROBABILITY_OF_A_COLUMN} is needed; is a bright lattice in focus?"
        )
        warnings.warn(message, stacklevel=2)
        return Columns(np.empty((0, 2)), *np.empty((5, 0)))
    spacing_px = median_spacing(peaks, LONE_SPACING_PX)
    confidence = confidence_at(probability, peaks)
    columns = _fit(values, peaks, confidence, spacing_px)
    columns = _without_outside(columns, values.shape)
    failed = np.isnan(columns.amplitude).sum()
    if failed > len(columns) / 2 or len(columns) == 0:
        message = (
            f"{failed} of {len(columns)} likely places show no bright spot that a Gaussian fits: "
            f"trust none before looking; was the probability made from this image?"
        )
        warnings.warn(message, stacklevel=2)
    return _without_doubles(columns, spacing_px)


def refine_columns(image, positions) -> Columns:
    """Fit the columns of an image again whose places are known to a pixel or two.

    Parameters
    ----------
    image : (H, W) array or hyperspy Signal2D
    positions : (N, 2) array or Columns
        [row, column] in pixels: from another image of the same field, from a file, by hand.

    Returns
    -------
    Columns
        N rows. Where a place lies outside the image or its fit fails it is kept, with a large
        standard error and NaN for the rest. The probability is that of `positions`, else 1.

    Raises
    ------
    ValueError
        If the image or the positions are not usable, or none of these lies inside the image.
    """
    values = as_image(image)
    places = as_positions(positions)
    count = len(places)
    inside = on_pixels(places, values.shape)
    if not inside.any():
        message = (
            f"none of the {count} positions lies inside the image of {values.shape}: "
            f"are they [row, column] in pixels of this image?"
        )
        raise ValueError(message)
    spacing_px = median_spacing(places[inside], LONE_SPACING_PX)
    confidence = np.array(getattr(positions, "probability", np.ones(count)))
    last = np.array(values.shape) - 1
    start = np.clip(places[inside], 0, last)
    fitted = _fit(values, start, confidence[inside], spacing_px)
    result = _not_fitted(places, confidence, spacing_px)
    for field in fields(result):
        column = getattr(result, field.name)
        column[inside] = getattr(fitted, field.name)
    return result


def on_pixels(places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Which places (N, 2) lie on the pixels of an image, (N,) bool; not those that are NaN."""
    # A place that is not known counts as one outside.
    known = np.nan_to_num(places, nan=-1)
    return border_distance(known, shape) > -0.5


def _not_fitted(places: np.ndarray, confidence: np.ndarray, spacing_px: float) -> Columns:
    """Columns (N,) that have a place only, with a large standard error."""
    position_sd_px = np.full(len(places), WANDERED_OVER_SPACING * spacing_px)
    amplitude, sigma_px, background = np.full((3, len(places)), np.nan)
    return Columns(
        positions=places.copy(),
        amplitude=amplitude,
        sigma_px=sigma_px,
        background=background,
        position_sd_px=position_sd_px,
        probability=confidence,
    )


def _as_probability(probability, shape) -> np.ndarray:
    probability = values_of(probability, np.float32)
    low = probability.min(initial=0)
    high = probability.max(initial=0)
    if probability.shape != shape or not (low >= 0 and high <= 1):
        message = (
            f"the probability has shape {probability.shape} and is {low:g} to {high:g}, "
            f"not {shape} and 0 to 1: hand in what segment(image) returns"
        )
        raise ValueError(message)
    return probability


def _fit(image, peaks, confidence, spacing_px) -> Columns:
    """Fit a Gaussian to each peak, and judge where it ends."""
    start = _start_parameters(image, peaks, spacing_px)
    half_width = max(2, round(WINDOW_OVER_SPACING * spacing_px))
    parameters, errors = fit_gaussians(image, start, half_width=half_width)
    largest_px = WANDERED_OVER_SPACING * spacing_px
    wandered_px = np.linalg.norm(parameters[:, :2] - peaks, axis=1)
    variance = (errors[:, :2] ** 2).mean(axis=1)
    position_sd_px = np.sqrt(variance)
    is_good = (wandered_px < largest_px) & (position_sd_px < largest_px)
    is_good &= parameters[:, AMPLITUDE] > SIGNIFICANT * errors[:, AMPLITUDE]
    parameters[~is_good] = np.nan
    positions = np.where(is_good[:, None], parameters[:, :2], peaks)
    position_sd_px = np.where(is_good, position_sd_px, largest_px)
    amplitude, sigma_px, background = parameters[:, 2:].T
    return Columns(
        positions=positions,
        amplitude=amplitude,
        sigma_px=sigma_px,
        background=background,
        position_sd_px=position_sd_px,
        probability=confidence.astype(float),
    )


def _start_parameters(image, peaks, spacing_px) -> np.ndarray:
    """Where the fit starts (N, 5): the height is that over the lowest level near each peak."""
    smooth = ndimage.gaussian_filter(image, 1)
    side = 2 * round(0.7 * spacing_px) + 1
    lowest_near = ndimage.minimum_filter(smooth, size=side)
    low = values_at(lowest_near, peaks)
    height = values_at(smooth, peaks) - low
    sigma_px = np.full(len(peaks), SIGMA_OVER_SPACING * spacing_px)
    return np.column_stack([peaks, height, sigma_px, low])


def _without_outside(columns: Columns, shape) -> Columns:
    """Columns inside the image; those that were not fitted also off its outermost pixels."""
    failed = np.isnan(columns.amplitude)
    margin_px = np.where(failed, 0.5, -0.5)
    distance_px = border_distance(columns.positions, shape)
    return columns[distance_px > margin_px]


def _without_doubles(columns: Columns, spacing_px: float) -> Columns:
    """Of two columns on the same spot the brighter one only."""
    same_px = SAME_OVER_SPACING * spacing_px
    pairs = cKDTree(columns.positions).query_pairs(same_px, output_type="ndarray")
    height = np.nan_to_num(columns.amplitude, nan=-np.inf)
    which = height[pairs].argmin(axis=1)
    fainter = pairs[np.arange(len(pairs)), which]
    kept = np.setdiff1d(np.arange(len(columns)), fainter)
    return columns[kept]
