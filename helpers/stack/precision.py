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
from ..images import as_positions, frames_of

LINE_PX = 0.3  # columns whose rows differ by less are on one scan line


@dataclass(frozen=True)
class FramePositions:
    """Positions of N columns in each of F frames.

    Attributes
    ----------
    positions : (F, N, 2) float64
        [row, column] in pixels of the mean image: each frame's rigid shift is taken off. NaN where
        a column lies outside the frame or its fit failed.
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
        found = self.positions[:, np.isfinite(self.positions).all(axis=(0, 2))]  # (F, N, 2)
        off, rows = found - found.mean(axis=0), found[..., :1].mean(axis=0)
        one, other = cKDTree(rows).query_pairs(LINE_PX, output_type="ndarray").T
        product = np.mean(off[:, one] * off[:, other], axis=(0, 1)) * len(off) / (len(off) - 1)
        return np.sqrt(np.maximum(product, 0))


def locate_in_frames(stack, columns: Columns, shifts, *, progress: bool = True) -> FramePositions:
    """Fit the columns of the mean image again in every frame of the stack.

    Parameters
    ----------
    stack : (F, H, W) array or hyperspy Signal2D
        The raw frames, not resampled.
    columns : Columns
        Located in the mean; in each frame the fit starts from them.
    shifts : (F, 2) array
        From `align_stack`: `columns.positions + shifts[f]` are the positions in frame f.
    progress : bool
        Show a bar over the frames.

    Raises
    ------
    ValueError
        If there is not one shift for each of at least two frames, or there are no columns.
    """
    frames = frames_of(stack)  # may be lazy
    shifts, start = np.asarray(shifts, dtype=float), as_positions(columns)
    if np.ndim(frames) != 3 or len(frames) < 2 or shifts.shape != (len(frames), 2):
        found = f"frames of shape {np.shape(frames)} and shifts of shape {shifts.shape}"
        raise ValueError(f"{found}: two frames or more, each with the shift that align_stack gives")
    places, errors = [], []
    for frame, shift in zip(tqdm(frames, disable=not progress), shifts, strict=True):
        fitted = refine_columns(np.asarray(frame), start + shift)
        failed = np.isnan(fitted.amplitude)
        places.append(np.where(failed[:, None], np.nan, fitted.positions - shift))
        errors.append(np.where(failed, np.nan, fitted.position_sd_px))
    places = np.array(places)  # (F, N, 2)
    # All columns together tell the shift of a frame better than its correlation did.
    places -= np.nanmedian(places - start, axis=1, keepdims=True)
    return FramePositions(places, np.array(errors))
