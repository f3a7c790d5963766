"""Align the frames of a drifting stack, and average them."""

import warnings

import numpy as np
from scipy import fft, ndimage, signal

from ..files.read import axes_of
from ..images import as_image, frames_of

TAPERED_SHARE = 0.2  # of each side length, over which a frame fades out towards its border
SLOWEST_CYCLES = 2.0  # per field: slower variation is illumination or wedge and says little
DRIFT_PX = 10.0  # displacements well over this, from one frame to the next, need good evidence
PRIOR_WEIGHT = 0.1
LEAST_EVIDENCE = 6.0  # height of a correlation peak in standard deviations of white noise
SMALLEST_SIDE_PX = 16


def align_stack(stack, *, progress: bool = True, skip_damaged: bool = False) -> tuple:
    """Align the frames of a stack by rigid, sub-pixel shifts, and average them.

    Each frame is cross-correlated with the mean of the frames before it, then once more with the
    mean of all others. A crystal matches itself after a shift by any lattice vector, so among
    nearly equal correlation peaks the one nearest to the last frame's position is taken: the
    drift from one frame to the next should be less than half the shortest lattice vector. A jump by
    more is followed where the image does not repeat itself.

    Frames are read one at a time, four times over: of a lazy stack never more than one is held.
    Only rigid shifts are found. Drift *within* a frame and line jitter stay in the mean.

    Parameters
    ----------
    stack : hyperspy Signal2D or numpy.ndarray
        Frames of shape (F, H, W), in the order of acquisition, lazy or not. A single image (H, W)
        counts as a stack of one frame.
    progress : bool
        Show a progress bar.
    skip_damaged : bool
        Leave out frames that are constant or miss over 1 % of their pixels, with a warning that
        names them; their shifts are NaN.

    Returns
    -------
    mean : hyperspy.signals.Signal2D
        Mean of the aligned frames, float32, cropped to the area common to all of them, with the
        calibration and metadata of `stack`. ``mean.metadata.Rvae_stem.common_area_px`` says where
        this area lies: [row0, row1, column0, column1] in pixels of the first frame used, ends
        excluded.
    shifts : numpy.ndarray, shape (F, 2)
        [row, column] in pixels: ``positions + shifts[f]`` are the positions in frame f of what is
        at ``positions`` in the mean.

    Raises
    ------
    ValueError
        If the shape is another, a frame is damaged and `skip_damaged` is False, or the frames have
        no area in common.

    Warns
    -----
    UserWarning
        If a frame hardly resembles the others, so that its shift means little, or repeats the one
        before it.
    """
    frames = _Frames(stack, skip_damaged)
    drift = _estimate_drift(frames, progress)
    start, stop = _common_area(frames.shape, drift)
    total = 0
    for frame, by in zip(frames, drift, strict=True):
        total += ndimage.shift(frame, -by, np.float64, order=3, mode="mirror")
    mean = (total / len(drift)).astype(np.float32)
    shifts = np.full((frames.count, 2), np.nan)
    shifts[frames.good] = drift + start
    return _as_signal(mean, stack, start, stop), shifts


class _Frames:
    """The usable frames of a stack, one after the other, each time they are iterated over.

    Every frame is read once at first, to see which are usable. None is kept: each iteration reads
    them anew.

    Attributes
    ----------
    count : int
        Number of frames in the stack, the damaged ones among them.
    shape : tuple of int
        (rows, columns) of each.
    good : list of int
        Numbers of the usable frames, over which one iterates.
    """

    def __init__(self, stack, skip_damaged: bool):
        self._values = _three_dimensional(stack)
        self.count = len(self._values)
        self.shape = self._values.shape[1:]
        self.good: list[int] = []
        damaged = []
        repeats = []
        before = None
        self._said: dict[str, list[int]] = {}  # what was warned of, and in which frames
        for index in range(self.count):
            try:
                frame = self._read_first(index)
            except ValueError as error:
                if not skip_damaged:
                    message = (
                        f"frame {index} cannot be aligned: {error}; "
                        f"leave it out, or pass skip_damaged=True"
                    )
                    raise ValueError(message) from error
                damaged.append(index)
                continue
            if before is not None and np.array_equal(frame, before):
                repeats.append(index)
            self.good.append(index)
            before = frame
        self._say(damaged, repeats)

    def _read(self, index: int) -> np.ndarray:
        """One frame as a clean float32 image; a ValueError if it is damaged."""
        return as_image(self._values[index])

    def _read_first(self, index: int) -> np.ndarray:
        """One frame; its warnings are kept, to be given for all frames at once."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame = self._read(index)
        for one in caught:
            frames = self._said.setdefault(str(one.message), [])
            frames.append(index)
        return frame

    def _read_again(self, index: int) -> np.ndarray:
        """One frame without the warnings, which were given when it was read first."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._read(index)

    def _say(self, damaged: list[int], repeats: list[int]) -> None:
        """Warn of frames that were mended, are left out or give no new information."""
        for text, frames in self._said.items():
            warnings.warn(f"{text} (frames {frames})", stacklevel=4)
        if not self.good:
            raise ValueError(f"all {self.count} frames are constant or miss pixels: check the file")
        if damaged:
            warnings.warn(f"frames {damaged} are damaged and were left out", stacklevel=4)
        if repeats:
            message = (
                f"frames {repeats} repeat the one before and add no information: "
                f"was the file put together twice?"
            )
            warnings.warn(message, stacklevel=4)

    def __iter__(self):
        for index in self.good:
            # A filter of warnings that were open here would also hold back those of the caller.
            yield self._read_again(index)


def _three_dimensional(stack):
    """The values (F, H, W) of a stack or of a single image, as they are."""
    values = frames_of(stack)
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or len(values) == 0 or min(values.shape[1:]) < SMALLEST_SIDE_PX:
        message = (
            f"the stack has shape {values.shape}, but it must be (frames, rows, columns), "
            f"at least {SMALLEST_SIDE_PX} of the last two"
        )
        raise ValueError(message)
    return values


def _estimate_drift(frames: _Frames, progress: bool) -> np.ndarray:
    """Position of each frame's content relative to the first, (F, 2) [row, column] in pixels."""
    from tqdm.auto import tqdm

    count = len(frames.good)
    if count == 1:
        return np.zeros((1, 2))
    with tqdm(total=3 * count, desc="aligning frames", disable=not progress) as steps:
        coarse = _follow(frames, steps)
        whole = np.round(coarse).astype(int)
        fraction, evidence = _sharpen(frames, whole, coarse - whole, steps)
    doubtful = np.flatnonzero(evidence < LEAST_EVIDENCE)
    if len(doubtful):
        unlike = [frames.good[index] for index in doubtful]
        message = (
            f"frames {unlike} hardly resemble the others: their shifts mean little; "
            f"leave them out, or check that all frames show the same area"
        )
        warnings.warn(message, stacklevel=3)
    drift = whole + fraction
    return drift - drift[0]


def _follow(frames: _Frames, steps) -> np.ndarray:
    """Drift (F, 2), each frame compared with the mean of those before it."""
    spectra = _spectra(frames, frames.shape, steps)
    total = next(spectra)  # of the aligned frames
    latest = np.zeros(2)
    drift = [latest]
    for spectrum in spectra:
        cross = spectrum * np.conj(total)
        peak = _likeliest_peak(cross, latest)
        latest = _refine(cross, peak)
        drift.append(latest)
        total += ndimage.fourier_shift(spectrum, -latest)
    return np.array(drift)


def _sharpen(
    frames: _Frames,
    whole: np.ndarray,
    fraction: np.ndarray,
    steps,
) -> tuple[np.ndarray, np.ndarray]:
    """What the drift (F, 2) has beyond whole pixels, and the evidence (F,) for it.

    Each frame is compared with the mean of all others. The evidence is the correlation coefficient
    in units of its spread for frames of mere white noise.
    """
    fraction = fraction.copy()
    evidence = np.zeros(len(fraction))
    total = 0
    spectra = _spectra_of_crops(frames, whole, steps)
    for spectrum, by in zip(spectra, fraction, strict=True):
        total += ndimage.fourier_shift(spectrum, -by)
    spectra = _spectra_of_crops(frames, whole, steps)
    for index, spectrum in enumerate(spectra):
        # Without the frame itself: its noise would hold the shift where it is already.
        total -= ndimage.fourier_shift(spectrum, -fraction[index])
        cross = spectrum * np.conj(total)
        fraction[index] = _refine(cross, fraction[index])
        height = _correlation(cross, fraction[index], 0)[1, 1]
        evidence[index] = height / np.linalg.norm(total)
        total += ndimage.fourier_shift(spectrum, -fraction[index])
    evidence *= np.sqrt(total.size) * (1 - TAPERED_SHARE)
    return fraction, evidence


def _spectra_of_crops(frames: _Frames, whole: np.ndarray, steps):
    """Yield each frame's spectrum, cut to the content that all show, to whole pixels.

    Over the same content the window fades the same atoms out, and no longer holds them back.
    """
    start, stop = _common_area(frames.shape, whole)
    crops = _crops(frames, start + whole, stop + whole)
    return _spectra(crops, stop - start, steps)


def _crops(frames: _Frames, firsts: np.ndarray, ends: np.ndarray):
    """Yield of each frame what lies from its first [row, column] to before its end."""
    for frame, first, end in zip(frames, firsts, ends, strict=True):
        top, left = first
        bottom, right = end
        yield frame[top:bottom, left:right]


def _spectra(frames, shape, steps):
    """Yield each frame's spectrum, of norm one, less its border and its slow variation."""
    row_taper, column_taper = [signal.windows.tukey(side, 2 * TAPERED_SHARE) for side in shape]
    window = np.outer(row_taper, column_taper).astype(np.float32)
    slow_px = np.array(shape) / (2 * np.pi * SLOWEST_CYCLES)
    for frame in frames:
        level = np.average(frame, weights=window)
        spectrum = fft.fft2((frame - level) * window)
        spectrum -= ndimage.fourier_gaussian(spectrum, slow_px)
        norm = np.linalg.norm(spectrum)
        yield spectrum / norm
        steps.update()


def _likeliest_peak(cross: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Shift of the highest correlation, less a mild penalty for jumps far from `expected`."""
    correlation = fft.ifft2(ndimage.fourier_shift(cross, -expected)).real
    # 0, 1 … -1 pixels from the expected shift
    row_jumps, column_jumps = [fft.fftfreq(side, 1 / side) for side in cross.shape]
    squared = np.add.outer(row_jumps**2, column_jumps**2)
    # The logarithm lets a sudden jump through where the correlation alone is unmistakable.
    penalty = PRIOR_WEIGHT * np.log1p(squared / DRIFT_PX**2)
    score = correlation / correlation.max() - penalty
    highest = np.argmax(score)
    row, column = np.unravel_index(highest, score.shape)
    jump = [row_jumps[row], column_jumps[column]]
    return expected + jump


def _refine(cross: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Where the correlation has its maximum near `start`, to about 0.001 pixels.

    Goes uphill to the vertex of the parabolas through three exact values along rows and columns, at
    most one step far, in finer and finer steps.
    """
    least_curvature = np.finfo(np.float32).tiny
    shift = np.array(start, dtype=np.float64)
    for step in (0.5, 0.5, 0.1, 0.02):
        values = _correlation(cross, shift, step)
        along_rows = values[:, 1]
        along_columns = values[1]
        before, here, after = np.transpose([along_rows, along_columns])
        curvature = np.abs(before - 2 * here + after) + least_curvature
        vertex = (after - before) / (2 * curvature)
        shift += step * np.clip(vertex, -1, 1)
    return shift


def _correlation(cross: np.ndarray, centre: np.ndarray, step: float) -> np.ndarray:
    """Values (3, 3) of the correlation at the shift `centre` and one step to each side of it."""
    n_rows, n_columns = cross.shape
    offsets = step * np.arange(-1, 2)
    row_waves = _waves(centre[0] + offsets, n_rows).astype(np.complex64)
    column_waves = _waves(centre[1] + offsets, n_columns)
    correlation = row_waves @ cross @ column_waves.T
    return correlation.real


def _waves(shifts: np.ndarray, side: int) -> np.ndarray:
    """The factor (S, side) by which each shift turns each component of a Fourier transform."""
    frequencies = fft.fftfreq(side)
    cycles = np.outer(shifts, frequencies)
    return np.exp(2j * np.pi * cycles)


def _common_area(shape: tuple[int, int], drift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First [row, column] in frame 0 of what all frames show, and the one after the last."""
    first = -drift.min(axis=0)
    last = shape - drift.max(axis=0)
    start = np.ceil(first).astype(int)
    stop = np.floor(last).astype(int)
    if (stop - start).min() < SMALLEST_SIDE_PX:
        moved = np.ptp(drift, axis=0).round(1)
        raise ValueError(f"no area in common: frames of {shape} drift by {moved} px; align fewer")
    return start, stop


def _as_signal(mean: np.ndarray, stack, start: np.ndarray, stop: np.ndarray):
    """The mean, cropped to the common area, with the axes and the metadata of the stack."""
    from hyperspy.signals import Signal2D

    if not hasattr(stack, "axes_manager"):
        stack = Signal2D(stack)
        stack.axes_manager.signal_axes.set(name=["x", "y"], units="px")
    image_axes = axes_of(stack)[-2:]
    calibration = [axis.get_axis_dictionary() for axis in image_axes]
    metadata = stack.metadata.as_dictionary()
    whole = Signal2D(mean, axes=calibration, metadata=metadata)
    top, left = start.tolist()
    bottom, right = stop.tolist()
    cropped = whole.isig[left:right, top:bottom]
    cropped.metadata.set_item("Rvae_stem.common_area_px", [top, bottom, left, right])
    return cropped
