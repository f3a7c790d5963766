"""Align the frames of a drifting stack, and average them."""

import warnings

import numpy as np
from scipy import fft, ndimage, signal

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
    moves = zip(frames, drift, strict=True)
    total = sum(ndimage.shift(f, -by, np.float64, order=3, mode="mirror") for f, by in moves)
    mean = (total / len(drift)).astype(np.float32)
    shifts = np.full((frames.count, 2), np.nan)
    shifts[frames.good] = drift + start
    return _as_signal(mean, stack, start, stop), shifts


class _Frames:
    """The usable frames of a stack as clean float32 images, read anew each time they are asked."""

    def __init__(self, stack, skip_damaged: bool):
        values = frames_of(stack)
        self._values = values = values[None] if values.ndim == 2 else values
        if values.ndim != 3 or len(values) == 0 or min(values.shape[1:]) < SMALLEST_SIDE_PX:
            wanted = f"(frames, rows, columns), at least {SMALLEST_SIDE_PX} of the last two"
            raise ValueError(f"the stack has shape {values.shape}, but it must be {wanted}")
        self.shape, self.count = values.shape[1:], len(values)
        self.good, damaged, repeats, before = [], [], [], None
        for index in range(self.count):
            try:
                frame = as_image(np.asarray(values[index]))
            except ValueError as error:
                if not skip_damaged:
                    fault = f"frame {index} cannot be aligned: {error}"
                    raise ValueError(f"{fault}; leave it out, or pass skip_damaged=True") from error
                damaged.append(index)
                continue
            repeats += [index] if before is not None and np.array_equal(frame, before) else []
            self.good.append(index)
            before = frame
        self._say(damaged, repeats)

    def _say(self, damaged: list[int], repeats: list[int]) -> None:
        if not self.good:
            raise ValueError(f"all {self.count} frames are constant or miss pixels: check the file")
        again = "repeat the one before and add no information: was the file put together twice?"
        for frames, what in ((damaged, "are damaged and were left out"), (repeats, again)):
            if frames:
                warnings.warn(f"frames {frames} {what}", stacklevel=4)

    def __iter__(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said when they were read first
            for index in self.good:
                yield as_image(np.asarray(self._values[index]))


def _estimate_drift(frames: _Frames, progress: bool) -> np.ndarray:
    """Position of each frame's content relative to the first, (F, 2) [row, column] in pixels."""
    from tqdm.auto import tqdm

    if len(frames.good) == 1:
        return np.zeros((1, 2))
    with tqdm(total=3 * len(frames.good), desc="aligning frames", disable=not progress) as steps:
        coarse = _follow(frames, steps)
        # Over the same content the window fades the same atoms out, and no longer holds them back.
        whole = np.round(coarse).astype(int)
        start, stop = _common_area(frames.shape, whole)

        def spectra():
            moved = zip(frames, whole, strict=True)
            crops = (f[tuple(map(slice, start + by, stop + by))] for f, by in moved)
            return _spectra(crops, stop - start, steps)

        drift = whole + _sharpen(spectra, coarse - whole, frames.good)
    return drift - drift[0]


def _follow(frames: _Frames, steps) -> np.ndarray:
    """Drift (F, 2), each frame compared with the mean of those before it."""
    spectra = _spectra(frames, frames.shape, steps)
    total = next(spectra)  # of the aligned frames
    drift = [np.zeros(2)]
    for spectrum in spectra:
        cross = spectrum * np.conj(total)
        drift.append(_refine(cross, _likeliest_peak(cross, drift[-1])))
        total += ndimage.fourier_shift(spectrum, -drift[-1])
    return np.array(drift)


def _sharpen(spectra, drift: np.ndarray, names: list[int]) -> np.ndarray:
    """Drift (F, 2), each frame compared with the mean of all others."""
    total = sum(map(ndimage.fourier_shift, spectra(), -drift))
    evidence = np.zeros(len(drift))
    for index, spectrum in enumerate(spectra()):
        # Without the frame itself: its noise would hold the shift where it is already.
        total -= ndimage.fourier_shift(spectrum, -drift[index])
        cross = spectrum * np.conj(total)
        drift[index] = _refine(cross, drift[index])
        evidence[index] = _correlation(cross, drift[index], 0)[1, 1] / np.linalg.norm(total)
        total += ndimage.fourier_shift(spectrum, -drift[index])
    # The correlation coefficients in units of their spread for frames of mere white noise.
    evidence *= np.sqrt(total.size) * (1 - TAPERED_SHARE)
    if unlike := [names[index] for index in np.flatnonzero(evidence < LEAST_EVIDENCE)]:
        found = f"frames {unlike} hardly resemble the others: their shifts mean little"
        remedy = "leave them out, or check that all frames show the same area"
        warnings.warn(f"{found}; {remedy}", stacklevel=4)
    return drift


def _spectra(frames, shape, steps):
    """Yield each frame's spectrum, of norm one, less its border and its slow variation."""
    window = np.float32(np.outer(*(signal.windows.tukey(n, 2 * TAPERED_SHARE) for n in shape)))
    slow_px = np.array(shape) / (2 * np.pi * SLOWEST_CYCLES)
    for frame in frames:
        spectrum = fft.fft2((frame - np.average(frame, weights=window)) * window)
        spectrum -= ndimage.fourier_gaussian(spectrum, slow_px)
        yield spectrum / np.linalg.norm(spectrum)
        steps.update()


def _likeliest_peak(cross: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Shift of the highest correlation, less a mild penalty for jumps far from `expected`."""
    correlation = fft.ifft2(ndimage.fourier_shift(cross, -expected)).real
    jumps = [fft.fftfreq(n, 1 / n) for n in cross.shape]  # 0, 1 … -1 pixels from the expected shift
    squared = np.add.outer(jumps[0] ** 2, jumps[1] ** 2)
    # The logarithm lets a sudden jump through where the correlation alone is unmistakable.
    score = correlation / correlation.max() - PRIOR_WEIGHT * np.log1p(squared / DRIFT_PX**2)
    row, column = np.unravel_index(np.argmax(score), score.shape)
    return expected + [jumps[0][row], jumps[1][column]]


def _refine(cross: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Where the correlation has its maximum near `start`, to about 0.001 pixels.

    Goes uphill to the vertex of the parabolas through three exact values along rows and columns, at
    most one step far, in finer and finer steps.
    """
    shift = np.array(start, dtype=np.float64)
    for step in (0.5, 0.5, 0.1, 0.02):
        values = _correlation(cross, shift, step)
        before, here, after = np.transpose([values[:, 1], values[1]])
        curvature = np.abs(before - 2 * here + after) + np.finfo(np.float32).tiny
        shift += step * np.clip((after - before) / (2 * curvature), -1, 1)
    return shift


def _correlation(cross: np.ndarray, centre: np.ndarray, step: float) -> np.ndarray:
    """Values (3, 3) of the correlation at the shift `centre` and one step to each side of it."""
    rows, columns = (
        np.exp(2j * np.pi * np.outer(at + step * np.arange(-1, 2), fft.fftfreq(n)))
        for at, n in zip(centre, cross.shape, strict=True)
    )
    return (rows.astype(np.complex64) @ cross @ columns.T).real


def _common_area(shape: tuple[int, int], drift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First [row, column] in frame 0 of what all frames show, and the one after the last."""
    start = np.ceil(-drift.min(axis=0)).astype(int)
    stop = np.floor(shape - drift.max(axis=0)).astype(int)
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
    axes = [axis.get_axis_dictionary() for axis in stack.axes_manager._axes[-2:]]
    whole = Signal2D(mean, axes=axes, metadata=stack.metadata.as_dictionary())
    (top, left), (bottom, right) = start.tolist(), stop.tolist()
    cropped = whole.isig[left:right, top:bottom]
    cropped.metadata.set_item("Rvae_stem.common_area_px", [top, bottom, left, right])
    return cropped
