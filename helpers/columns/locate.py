"""Find the atomic columns: peaks of the probability map, then a Gaussian fitted to each."""

import warnings
from dataclasses import fields

import numpy as np
from scipy import ndimage, special
from scipy.spatial import cKDTree

from ..images import as_image, as_positions, border_distance, median_spacing
from .gaussian_fit import AMPLITUDE, fit_gaussians
from .peaks import PROBABILITY_OF_A_COLUMN, probability_peaks
from .table import Columns

LONE_SPACING_PX = 15.0  # taken where there is one column only
SIGMA_OVER_SPACING = 0.2  # where the fit starts; it may end between 0.4 and 3 times this
WINDOW_OVER_SPACING = 0.6  # half a window just takes in the flanks of the nearest neighbours
WANDERED_OVER_SPACING = 0.25  # a fit that ends farther from its peak, or less sure, has lost it
SAME_OVER_SPACING = 0.3  # two fits closer than this are one column found twice
SIGNIFICANT = 3.0  # standard errors: what is less high is no column
CONFIDENCE = (0.502, 1.191, -0.062)  # polynomial in the logit of the map; calibrate_confidence.py


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
        found = f"no column found: the probability is {probability.max():.2f} at most"
        remedy = f"over {PROBABILITY_OF_A_COLUMN} is needed; is a bright lattice in focus?"
        warnings.warn(f"{found}, but {remedy}", stacklevel=2)
        return Columns(np.empty((0, 2)), *np.empty((5, 0)))
    spacing = median_spacing(peaks, LONE_SPACING_PX)
    of_map = np.clip(probability[tuple(np.rint(peaks).astype(int).T)], 1e-3, 0.999)
    confidence = special.expit(np.polynomial.Polynomial(CONFIDENCE)(special.logit(of_map)))
    columns = _fit(values, peaks, confidence, spacing)
    margin = np.where(np.isnan(columns.amplitude), 0.5, -0.5)
    columns = columns[border_distance(columns.positions, values.shape) > margin]
    failed = np.isnan(columns.amplitude).sum()
    if failed > len(columns) / 2 or len(columns) == 0:
        found = f"{failed} of {len(columns)} likely places show no bright spot that a Gaussian fits"
        remedy = "trust none before looking; was the probability made from this image?"
        warnings.warn(f"{found}: {remedy}", stacklevel=2)
    return _without_doubles(columns, spacing)


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
    values, places = as_image(image), as_positions(positions)
    inside = border_distance(np.nan_to_num(places, nan=-1), values.shape) > -0.5
    if not inside.any():
        outside = f"none of the {len(places)} positions lies inside the image of {values.shape}"
        raise ValueError(f"{outside}: are they [row, column] in pixels of this image?")
    spacing = median_spacing(places[inside], LONE_SPACING_PX)
    confidence = np.array(getattr(positions, "probability", np.ones(len(places))))
    kept = np.clip(places[inside], 0, np.array(values.shape) - 1)
    fitted = _fit(values, kept, confidence[inside], spacing)
    lost = np.full(len(places), WANDERED_OVER_SPACING * spacing)
    result = Columns(places.copy(), *np.full((3, len(places)), np.nan), lost, confidence)
    for field in fields(result):
        getattr(result, field.name)[inside] = getattr(fitted, field.name)
    return result


def _as_probability(probability, shape) -> np.ndarray:
    probability = np.asarray(getattr(probability, "data", probability), dtype=np.float32)
    low, high = probability.min(initial=0), probability.max(initial=0)
    if probability.shape != shape or not (low >= 0 and high <= 1):
        found = f"the probability has shape {probability.shape} and is {low:g} to {high:g}"
        raise ValueError(f"{found}, not {shape} and 0 to 1: hand in what segment(image) returns")
    return probability


def _fit(image, peaks, confidence, spacing) -> Columns:
    """Start from the height over the lowest level near each peak; judge where the fit ends."""
    at = tuple(np.rint(peaks).astype(int).T)
    smooth = ndimage.gaussian_filter(image, 1)
    low = ndimage.minimum_filter(smooth, size=2 * round(0.7 * spacing) + 1)[at]
    sigma = np.full(len(peaks), SIGMA_OVER_SPACING * spacing)
    start = np.column_stack([peaks, smooth[at] - low, sigma, low])
    half_width = max(2, round(WINDOW_OVER_SPACING * spacing))
    parameters, errors = fit_gaussians(image, start, half_width=half_width)
    largest = WANDERED_OVER_SPACING * spacing
    position_sd = np.sqrt((errors[:, :2] ** 2).mean(axis=1))
    good = (np.linalg.norm(parameters[:, :2] - peaks, axis=1) < largest) & (position_sd < largest)
    good &= parameters[:, AMPLITUDE] > SIGNIFICANT * errors[:, AMPLITUDE]
    parameters[~good] = np.nan
    positions = np.where(good[:, None], parameters[:, :2], peaks)
    position_sd = np.where(good, position_sd, largest)
    return Columns(positions, *parameters[:, 2:].T, position_sd, confidence.astype(float))


def _without_doubles(columns: Columns, spacing: float) -> Columns:
    same = SAME_OVER_SPACING * spacing
    pairs = cKDTree(columns.positions).query_pairs(same, output_type="ndarray")
    height = np.nan_to_num(columns.amplitude, nan=-np.inf)[pairs]
    fainter = pairs[np.arange(len(pairs)), height.argmin(axis=1)]
    return columns[np.setdiff1d(np.arange(len(columns)), fainter)]
