"""Find the atomic columns: peaks of the probability map, then a Gaussian fitted to each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from .gaussian_fit import AMPLITUDE, BACKGROUND, SIGMA, fit_gaussians
from .images import as_image

PROBABILITY_OF_A_COLUMN = 0.5
SIGMA_OVER_SPACING = 0.2  # where the fit starts; it may end between 0.4 and 3 times this
WINDOW_OVER_SPACING = 0.6  # half a window just takes in the flanks of the nearest neighbours
WANDERED_OVER_SPACING = 0.4  # a fit that ends farther from its peak than this has lost it
SAME_OVER_SPACING = 0.3  # two fits closer than this are one column found twice
SIGNIFICANT = 3.0  # standard errors: what is less high is no column
CSV_HEADER = "row,col,amplitude,sigma_px,background,position_sd_px,probability"


@dataclass(frozen=True)
class Columns:
    """Table of N located atomic columns.

    Attributes
    ----------
    positions : (N, 2) float64
        [row, column] in pixels, pixel centres at integers.
    amplitude, background : (N,) float64
        Height of the Gaussian and level under it, in units of the image.
    sigma_px : (N,) float64
        Standard deviation of the Gaussian.
    position_sd_px : (N,) float64
        Standard error of the position along one axis.
    probability : (N,) float64
        Value of the probability map at the column.

    Where a fit failed, the position is the peak of the probability map, `position_sd_px` is large,
    and amplitude, sigma and background are NaN.
    """

    positions: np.ndarray
    amplitude: np.ndarray
    sigma_px: np.ndarray
    background: np.ndarray
    position_sd_px: np.ndarray
    probability: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        if len(self) == 0:
            return "<Columns: none>"
        precision = f"positions within {np.median(self.position_sd_px):.2f} px (median)"
        failed = int(np.isnan(self.amplitude).sum())
        return f"<Columns: {len(self)}, {precision}" + (
            f", {failed} not fitted>" if failed else ">"
        )

    def __getitem__(self, which) -> Columns:
        """Some of the columns, by a mask, a slice or an array of indices."""
        return Columns(*(getattr(self, field.name)[which] for field in fields(self)))

    def save(self, path: str | Path) -> Path:
        """Write a CSV table, one row a column, and return its path."""
        table = np.column_stack([getattr(self, field.name) for field in fields(self)])
        np.savetxt(path, table, fmt="%.8g", delimiter=",", header=CSV_HEADER, comments="")
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Columns:
        """Read a table written by `save`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not such a table.
        """
        with open(path, encoding="utf-8") as file:
            header = file.readline().strip()
            if header != CSV_HEADER:
                raise ValueError(f"{path} begins {header[:80]!r}, but {CSV_HEADER!r} is needed")
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # a table of no columns is one too
                    table = np.loadtxt(file, delimiter=",", ndmin=2).reshape(-1, 7)
            except ValueError as error:
                raise ValueError(f"{path} is not a table of columns: {error}") from None
        return cls(table[:, :2], *table[:, 2:].T)


def locate_columns(image, probability: np.ndarray | None = None) -> Columns:
    """Locate the atomic columns of one image to a fraction of a pixel.

    Peaks of the probability map start a two-dimensional Gaussian fit of all columns at once. A
    column whose fit finds nothing significant or wanders off keeps the position of its peak, with
    a standard error of 0.4 times the distance between neighbours. Dropped are columns that turn out
    to lie outside the image, failed ones on its outermost pixels, and the fainter of two that end
    on the same spot.

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
        from helpers.segmentation import segment  # brings torch

        probability = segment(image)
    probability = _as_probability(probability, values.shape)
    peaks = _peaks(probability)
    if len(peaks) == 0:
        warnings.warn(
            f"no column found: the probability is nowhere above {PROBABILITY_OF_A_COLUMN} (largest "
            f"{probability.max():.2f}); look whether the image shows a bright lattice in focus",
            stacklevel=2,
        )
        return Columns(np.empty((0, 2)), *np.empty((5, 0)))
    columns = _without_strangers(_fit(values, probability, peaks), values.shape)
    failed = int(np.isnan(columns.amplitude).sum())
    if failed > len(columns) / 2 or len(columns) == 0:
        warnings.warn(
            f"{failed} of {len(columns)} likely places inside the image show no bright spot that a "
            "Gaussian fits: trust none before looking; was the probability made from this image?",
            stacklevel=2,
        )
    return _without_doubles(columns, _spacing(peaks))


def _as_probability(probability, shape) -> np.ndarray:
    probability = np.asarray(getattr(probability, "data", probability), dtype=np.float32)
    if probability.shape != shape:
        raise ValueError(
            f"the probability has shape {probability.shape}, but the image has {shape}: "
            "segment the same image"
        )
    if not np.isfinite(probability).all() or probability.min() < 0 or probability.max() > 1:
        raise ValueError(
            f"the probability runs from {probability.min():g} to {probability.max():g}, but finite "
            "values between 0 and 1 are needed: hand in what segment(image) returns"
        )
    return probability


def _peaks(probability) -> np.ndarray:
    """Sub-pixel positions (N, 2) of the maxima of the smoothed map."""
    likely = probability > PROBABILITY_OF_A_COLUMN
    if not likely.any():
        return np.empty((0, 2))
    # Half the area of a disk lies within 0.29 of its radius from the rim.
    radius = np.median(ndimage.distance_transform_edt(likely)[likely]) / 0.29
    smooth = ndimage.gaussian_filter(probability, max(0.8, radius / 2.5))
    reach = max(1, round(radius / 2))
    highest = ndimage.maximum_filter(smooth, size=2 * reach + 1) == smooth
    labels, count = ndimage.label(highest & likely, structure=np.ones((3, 3)))
    spots = ndimage.center_of_mass(highest, labels, np.arange(1, count + 1))
    return _parabola_maximum(smooth, np.array(spots).reshape(-1, 2))


def _parabola_maximum(smooth, spots) -> np.ndarray:
    """Vertex of the parabolas through three pixels along rows and along columns."""
    row, col = np.rint(spots).astype(int).T
    padded = np.pad(smooth, 1, mode="edge")
    refined = np.column_stack([row, col]).astype(np.float64)
    for axis, (down, right) in enumerate([(1, 0), (0, 1)]):
        before = padded[row + 1 - down, col + 1 - right].astype(np.float64)
        after = padded[row + 1 + down, col + 1 + right].astype(np.float64)
        bend = before + after - 2 * smooth[row, col]
        shift = (before - after) / (2 * np.where(bend < 0, bend, -np.inf))
        refined[:, axis] += np.clip(shift, -0.5, 0.5)
    return np.clip(refined, 0, np.array(smooth.shape) - 1)


def _spacing(peaks) -> float:
    """Median distance to the nearest neighbour; a single column is given 15 pixels."""
    if len(peaks) < 2:
        return 15.0
    return float(np.median(cKDTree(peaks).query(peaks, k=2)[0][:, 1]))


def _start(image, peaks, spacing) -> np.ndarray:
    """Starting parameters (N, 5): height over the lowest level near the peak."""
    row, col = np.rint(peaks).astype(int).T
    smooth = ndimage.gaussian_filter(image, 1)
    low = ndimage.minimum_filter(smooth, size=2 * round(0.7 * spacing) + 1)[row, col]
    sigma = np.full(len(peaks), SIGMA_OVER_SPACING * spacing)
    return np.column_stack([peaks, smooth[row, col] - low, sigma, low])


def _fit(image, probability, peaks) -> Columns:
    spacing = _spacing(peaks)
    start = _start(image, peaks, spacing)
    half_width = max(2, round(WINDOW_OVER_SPACING * spacing))
    parameters, errors = fit_gaussians(image, start, half_width=half_width)
    position = parameters[:, :2]
    largest = WANDERED_OVER_SPACING * spacing
    position_sd = np.sqrt((errors[:, :2] ** 2).mean(axis=1))
    good = (np.linalg.norm(position - peaks, axis=1) < largest) & (position_sd < largest)
    good &= parameters[:, AMPLITUDE] > SIGNIFICANT * errors[:, AMPLITUDE]
    row, col = np.rint(peaks).astype(int).T
    amplitude, sigma, background = (
        np.where(good, parameters[:, i], np.nan) for i in (AMPLITUDE, SIGMA, BACKGROUND)
    )
    return Columns(
        positions=np.where(good[:, None], position, peaks),
        amplitude=amplitude,
        sigma_px=sigma,
        background=background,
        position_sd_px=np.where(good, position_sd, largest),
        probability=probability[row, col].astype(np.float64),
    )


def _without_strangers(columns: Columns, shape: tuple[int, int]) -> Columns:
    """Leave out columns beyond the image, whose flanks alone are seen."""
    failed = np.isnan(columns.amplitude)
    margin = np.minimum(columns.positions, np.array(shape) - 1 - columns.positions).min(axis=1)
    return columns[margin > np.where(failed, 0.5, -0.5)]


def _without_doubles(columns: Columns, spacing: float) -> Columns:
    tree = cKDTree(columns.positions)
    pairs = tree.query_pairs(SAME_OVER_SPACING * spacing, output_type="ndarray")
    height = np.nan_to_num(columns.amplitude, nan=-np.inf)[pairs]
    fainter = pairs[np.arange(len(pairs)), height.argmin(axis=1)]
    return columns[np.setdiff1d(np.arange(len(columns)), fainter)]
