"""How well positions are known, as the scatter between frames tells.

A standard error of a fit knows the counting noise alone. Frames differ by all that changes from one
to the next, line jitter included, so their scatter is what an experiment can vouch for.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from tqdm.auto import tqdm

from ..columns.locate import refine_columns
from ..columns.table import Columns
from ..images import as_positions, frames_of, values_of

LINE_PX = 0.3  # columns whose rows differ by less are on one scan line


@dataclass(frozen=True)
class FramePositions:
    """Positions of N columns in each of F frames.

    Attributes
    ----------
    positions : (F, N, 2) float64
        [row, column] in pixels of the mean image: each frame's rigid shift is taken off. NaN where
        a column lies outside the frame or its fit failed, and in frames that were left out.
    position_sd_px : (F, N) float64
        Standard error of each fit along one axis, by the counting noise alone.
    """

    positions: np.ndarray
    position_sd_px: np.ndarray

    @property
    def scatter_px(self) -> np.ndarray:
        """Standard deviation between frames (N, 2) along rows and columns; NaN below 2 frames."""
        found = np.ma.masked_invalid(self.positions)
        return found.std(axis=0, ddof=1).filled(np.nan)

    @property
    def line_jitter_px(self) -> np.ndarray:
        """Standard deviation (2,) along rows and columns of what one scan line does to columns.

        Columns on one line err together by its jitter, and each for itself by the rest: the mean
        product of their errors is the variance of the jitter, as far as a column, which is several
        lines high, feels it.
        """
        is_found = np.isfinite(self.positions)
        # A frame that was left out has no column at all.
        used = is_found.any(axis=(1, 2))
        in_every_frame = is_found[used].all(axis=(0, 2))
        of_used = self.positions[used]
        positions = of_used[:, in_every_frame]
        error = positions - positions.mean(axis=0)
        rows = positions[..., :1].mean(axis=0)
        on_one_line = cKDTree(rows).query_pairs(LINE_PX, output_type="ndarray")
        one, other = on_one_line.T
        products = error[:, one] * error[:, other]
        product = products.mean(axis=(0, 1))
        n_frames = len(error)
        variance = product * n_frames / (n_frames - 1)
        return np.sqrt(np.maximum(variance, 0))


def locate_in_frames(stack, columns: Columns, shifts, *, progress: bool = True) -> FramePositions:
    """Fit the columns of the mean image again in every frame of the stack.

    Parameters
    ----------
    stack : (F, H, W) array or hyperspy Signal2D
        The raw frames, not resampled.
    columns : Columns
        Located in the mean; in each frame the fit starts from them.
    shifts : (F, 2) array
        From `align_stack`: `columns.positions + shifts[f]` are the positions in frame f. A damaged
        frame, whose shift is NaN, is left out: all that is returned of it is NaN.
    progress : bool
        Show a bar over the frames.

    Raises
    ------
    ValueError
        If there is not one shift for each of at least two frames, or there are no columns.
    """
    frames = frames_of(stack)  # may be lazy
    shifts = values_of(shifts, float)
    start = as_positions(columns)
    is_stack = np.ndim(frames) == 3 and len(frames) > 1
    if not is_stack or shifts.shape != (len(frames), 2):
        message = (
            f"frames of shape {np.shape(frames)} and shifts of shape {shifts.shape}: "
            f"two frames or more, each with the shift that align_stack gives"
        )
        raise ValueError(message)
    shape = (len(frames), len(start))
    positions = np.full((*shape, 2), np.nan)
    position_sd_px = np.full(shape, np.nan)
    is_known = np.isfinite(shifts)
    used = np.flatnonzero(is_known.all(axis=1))
    for number in tqdm(used, disable=not progress):
        shift = shifts[number]
        expected = start + shift
        fitted = refine_columns(frames[number], expected)
        is_fitted = ~np.isnan(fitted.amplitude)
        in_mean = fitted.positions - shift
        positions[number, is_fitted] = in_mean[is_fitted]
        position_sd_px[number, is_fitted] = fitted.position_sd_px[is_fitted]
    # All columns together tell the shift of a frame better than its correlation did.
    # A frame in which no column was fitted, as one without a beam, has none to tell by.
    is_known = np.isfinite(positions).any(axis=(1, 2))
    difference = positions[is_known] - start
    remaining_shift = np.nanmedian(difference, axis=1, keepdims=True)
    positions[is_known] -= remaining_shift
    return FramePositions(positions, position_sd_px)
