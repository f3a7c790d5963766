"""Align the frames of a drifting stack, and average them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage, signal

from .images import as_image

if TYPE_CHECKING:
    from hyperspy.signals import Signal2D

TAPERED_SHARE = 0.2  # of each side length, over which a frame fades out towards its border
SLOWEST_CYCLES = 2.0  # per field: slower variation is illumination or wedge and says little
DRIFT_PX = 10.0  # displacements well over this, from one frame to the next, need good evidence
PRIOR_WEIGHT = 0.1
LEAST_EVIDENCE = 6.0  # height of a correlation peak in standard deviations of white noise
SMALLEST_SIDE_PX = 16


def align_stack(stack, *, progress: bool = True) -> tuple[Signal2D, np.ndarray]:
    """Align the frames of a stack by rigid, sub-pixel shifts, and average them.

    Each frame is cross-correlated with the mean of the frames before it, then once more with the
    mean of all others. A crystal matches itself after a shift by any lattice vector, so among
    nearly equal correlation peaks the one nearest to the last frame's position is taken: the
    drift from one frame to the next should be less than half the shortest lattice vector.

    Parameters
    ----------
    stack : hyperspy Signal2D or numpy.ndarray
        Frames of shape (F, H, W), in the order of acquisition. A single image (H, W) counts as a
        stack of one frame.
    progress : bool
        Show a progress bar.

    Returns
    -------
    mean : hyperspy.signals.Signal2D
        Mean of the aligned frames, float32, cropped to the area common to all of them, with the
        calibration and metadata of `stack`. ``mean.metadata.Rvae_stem.common_area_px`` says where
        this area lies: [row0, row1, column0, column1] in pixels of frame 0, ends excluded.
    shifts : numpy.ndarray, shape (F, 2)
        [row, column] in pixels: ``positions + shifts[f]`` are the positions in frame f of what is
        at ``positions`` in the mean.

    Raises
    ------
    ValueError
        If the shape is another, a frame is constant or misses over 1 % of its pixels, or the frames
        have no area in common.

    Warns
    -----
    UserWarning
        If a frame hardly resembles the others, so that its shift means little.
    """
    frames = _frames(stack)
    drift = _estimate_drift(frames, progress)
    area = _common_area(frames[0].shape, drift)
    rows, columns = slice(*area[:2]), slice(*area[2:])
    total = np.zeros(frames[0].shape, np.float64)
    for frame, (row, column) in zip(frames, drift, strict=True):
        total += ndimage.shift(frame, (-row, -column), order=3, mode="mirror")
    mean = (total / len(frames))[rows, columns].astype(np.float32)
    return _as_signal(mean, stack, area), drift + [area[0], area[2]]


def _frames(stack) -> list[np.ndarray]:
    """The frames as clean float32 images."""
    values = stack.data if hasattr(stack, "axes_manager") else np.asarray(stack)
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or 0 in values.shape or min(values.shape[1:]) < SMALLEST_SIDE_PX:
        raise ValueError(
            f"the stack has shape {values.shape}, but (frames, rows, columns) is needed, with at "
            f"least {SMALLEST_SIDE_PX} rows and columns"
        )
    frames = []
    for index in range(len(values)):
        try:
            frames.append(as_image(np.asarray(values[index])))
        except ValueError as error:
            raise ValueError(f"frame {index} cannot be aligned, leave it out: {error}") from error
    return frames


def _estimate_drift(frames: list[np.ndarray], progress: bool) -> np.ndarray:
    """Position of each frame's content relative to frame 0, (F, 2) [row, column] in pixels."""
    from tqdm.auto import tqdm

    if len(frames) == 1:
        return np.zeros((1, 2))
    with tqdm(total=2 * len(frames), desc="aligning frames", disable=not progress) as steps:
        coarse = _follow(frames, steps)
        # Over the same content the window fades the same atoms out, and no longer holds them back.
        whole = np.round(coarse).astype(int)
        top, bottom, left, right = _common_area(frames[0].shape, whole)
        crops = [
            frame[top + row : bottom + row, left + column : right + column]
            for frame, (row, column) in zip(frames, whole, strict=True)
        ]
        drift = whole + _sharpen(crops, coarse - whole, steps)
    return drift - drift[0]


def _follow(frames: list[np.ndarray], steps) -> np.ndarray:
    """Drift (F, 2), each frame compared with the mean of those before it."""
    shape = frames[0].shape
    filters = _filters(shape)
    total = _spectrum(frames[0], *filters)  # of the sum of the aligned frames
    drift = np.zeros((len(frames), 2))
    steps.update()
    for index in range(1, len(frames)):
        spectrum = _spectrum(frames[index], *filters)
        cross = spectrum * np.conj(total)
        drift[index] = _refine(cross, shape, _likeliest_peak(cross, shape, drift[index - 1]))
        total += _moved(spectrum, shape, -drift[index])
        steps.update()
    return drift


def _sharpen(frames: list[np.ndarray], start: np.ndarray, steps) -> np.ndarray:
    """Drift (F, 2), each frame compared with the mean of all others."""
    shape = frames[0].shape
    filters = _filters(shape)
    spectra = [_spectrum(frame, *filters) for frame in frames]
    total = sum(_moved(spectrum, shape, -by) for spectrum, by in zip(spectra, start, strict=True))
    drift = start.copy()
    evidence = np.zeros(len(frames))
    for index, spectrum in enumerate(spectra):
        # Without the frame itself: its noise would hold the shift where it is already.
        total -= _moved(spectrum, shape, -drift[index])
        drift[index] = _refine(spectrum * np.conj(total), shape, drift[index])
        evidence[index] = _evidence(spectrum, total, shape, drift[index])
        total += _moved(spectrum, shape, -drift[index])
        steps.update()
    _warn_unlike(evidence)
    return drift


def _filters(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A window that fades the border out, and a high-pass filter for its spectrum."""
    row_window, column_window = (signal.windows.tukey(n, 2 * TAPERED_SHARE) for n in shape)
    cycles_row, cycles_column = fft.fftfreq(shape[0]) * shape[0], fft.rfftfreq(shape[1]) * shape[1]
    squared = cycles_row[:, None] ** 2 + cycles_column**2
    high_pass = 1 - np.exp(-squared / (2 * SLOWEST_CYCLES**2))
    return np.outer(row_window, column_window).astype(np.float32), high_pass.astype(np.float32)


def _spectrum(frame: np.ndarray, window: np.ndarray, high_pass: np.ndarray) -> np.ndarray:
    """Filtered half spectrum of a frame, scaled to a mean square of one."""
    level = np.average(frame, weights=window)
    spectrum = fft.rfft2((frame - level) * window) * high_pass
    return spectrum / np.sqrt(_power(spectrum, frame.shape))


def _power(spectrum: np.ndarray, shape: tuple[int, int]) -> float:
    """Sum of squares of the image that belongs to a half spectrum (Parseval's theorem)."""
    power = np.abs(spectrum) ** 2
    doubled = power[:, 1 : (shape[1] + 1) // 2].sum(dtype=np.float64)
    return float((power.sum(dtype=np.float64) + doubled) / np.prod(shape))


def _moved(spectrum: np.ndarray, shape: tuple[int, int], by: np.ndarray) -> np.ndarray:
    """The half spectrum after moving the image by `by` [rows, columns]."""
    row_phase = np.exp(-2j * np.pi * fft.fftfreq(shape[0]) * by[0]).astype(np.complex64)
    column_phase = np.exp(-2j * np.pi * fft.rfftfreq(shape[1]) * by[1]).astype(np.complex64)
    return spectrum * row_phase[:, None] * column_phase


def _likeliest_peak(cross: np.ndarray, shape: tuple[int, int], expected: np.ndarray) -> np.ndarray:
    """Whole-pixel shift of the highest correlation, less a mild penalty for unlikely jumps."""
    correlation = fft.irfft2(cross, s=shape)
    jumps = [
        (fft.fftfreq(n) * n - centre + n / 2) % n - n / 2
        for n, centre in zip(shape, expected, strict=True)
    ]
    squared = jumps[0][:, None] ** 2 + jumps[1] ** 2
    # The logarithm lets a sudden jump through where the correlation alone is unmistakable.
    score = correlation / correlation.max() - PRIOR_WEIGHT * np.log1p(squared / DRIFT_PX**2)
    row, column = np.unravel_index(np.argmax(score), shape)
    return expected + [jumps[0][row], jumps[1][column]]


def _refine(cross: np.ndarray, shape: tuple[int, int], start: np.ndarray) -> np.ndarray:
    """Where the correlation has its maximum near `start`, to about 0.001 pixels.

    Its exact values on a finer and finer 5 x 5 grid; each time on to the vertex of the parabola
    through the highest of them.
    """
    shift = np.array(start, dtype=np.float64)
    for step in (0.5, 0.1, 0.02):
        values = _correlation(cross, shape, shift, step)
        row, column = np.clip(np.unravel_index(np.argmax(values), values.shape), 1, 3)
        peak = values[row - 1 : row + 2, column - 1 : column + 2]
        shift += step * (np.array([row, column]) - 2 + [_vertex(peak[:, 1]), _vertex(peak[1])])
    return shift


def _correlation(cross: np.ndarray, shape: tuple[int, int], centre: np.ndarray, step: float):
    """Values (5, 5) of the correlation at `centre` and up to two steps around it."""
    offsets = step * np.arange(-2, 3)
    at_rows, at_columns = centre[0] + offsets, centre[1] + offsets
    row_waves = np.exp(2j * np.pi * np.outer(at_rows, fft.fftfreq(shape[0])))
    column_waves = np.exp(2j * np.pi * np.outer(fft.rfftfreq(shape[1]), at_columns))
    column_waves[1 : (shape[1] + 1) // 2] *= 2  # the half of the spectrum that is not stored
    partial = row_waves.astype(np.complex64) @ cross  # (5, W // 2 + 1)
    return (partial @ column_waves).real / np.prod(shape)


def _vertex(three: np.ndarray) -> float:
    """Where a parabola through three neighbours has its maximum, in steps from the middle one."""
    curvature = three[0] - 2 * three[1] + three[2]
    return float(np.clip(0.5 * (three[0] - three[2]) / curvature, -1, 1)) if curvature < 0 else 0.0


def _evidence(spectrum, others, shape: tuple[int, int], shift: np.ndarray) -> float:
    """Correlation coefficient at `shift` in units of its spread for frames of mere white noise."""
    norm = np.sqrt(_power(spectrum, shape) * _power(others, shape))
    height = _correlation(spectrum * np.conj(others), shape, shift, 0.02)[2, 2]
    return height / norm * np.sqrt(np.prod(shape) * (1 - TAPERED_SHARE) ** 2)


def _warn_unlike(evidence: np.ndarray) -> None:
    unlike = np.flatnonzero(evidence < LEAST_EVIDENCE)
    if unlike.size:
        warnings.warn(
            f"frames {unlike.tolist()} hardly resemble the others: their shifts mean little. Leave "
            "them out, or check that all frames show the same area",
            stacklevel=5,
        )


def _common_area(shape: tuple[int, int], drift: np.ndarray) -> list[int]:
    """[row0, row1, column0, column1] in frame 0 of what all frames show, ends excluded."""
    area = []
    for n, along in zip(shape, drift.T, strict=True):
        area += [int(np.ceil(-along.min())), int(np.floor(n - 1 - along.max())) + 1]
    if area[1] - area[0] < SMALLEST_SIDE_PX or area[3] - area[2] < SMALLEST_SIDE_PX:
        raise ValueError(
            f"the frames have no area in common: they drift by {np.ptp(drift, axis=0).round(1)} px "
            f"(rows, columns) over frames of {shape}; align fewer frames"
        )
    return area


def _as_signal(mean: np.ndarray, stack, area: list[int]) -> Signal2D:
    """The mean with the axes of the stack, moved to the cropped area, and its metadata."""
    from hyperspy.signals import Signal2D

    metadata = getattr(stack, "metadata", None)
    result = Signal2D(mean, metadata=metadata.as_dictionary() if metadata is not None else {})
    if metadata is not None:
        old = reversed(stack.axes_manager.signal_axes)
        new = reversed(result.axes_manager.signal_axes)
        for source, axis, start in zip(old, new, (area[0], area[2]), strict=True):
            axis.name, axis.units, axis.scale = source.name, source.units, source.scale
            axis.offset = source.offset + start * source.scale
    else:
        for name, axis in zip("xy", result.axes_manager.signal_axes, strict=True):
            axis.name, axis.units = name, "px"
    result.metadata.set_item("Rvae_stem.common_area_px", area)
    return result
