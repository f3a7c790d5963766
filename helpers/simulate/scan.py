"""The scan: what drift, line jitter, fly-back and the dose make of a specimen."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import signal

from .truth import Truth


@dataclass(frozen=True)
class Scan:
    """How the probe is moved and how many electrons it brings (the reference settings).

    Attributes
    ----------
    dose : incident counts a pixel and frame
    drift_px : (row, column) drift of the specimen under the raster, pixels a frame
    jitter_px : (row, column) standard deviation of the line jitter, AR(1) along the rows
    jitter_memory : correlation of the jitter from one line to the next
    flyback_px : stretch at the start of each line, dying away over `flyback_length_px`
    """

    dose: float = 250.0
    drift_px: tuple[float, float] = (1.4, -0.9)
    jitter_px: tuple[float, float] = (0.12, 0.25)
    jitter_memory: float = 0.7
    flyback_px: float = 2.0
    flyback_length_px: float = 25.0

    def displacement(self, row, col, frame: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """From raster to specimen coordinates, jitter apart: the smooth part of the scan."""
        elapsed = frame + row / n_rows
        decay = np.exp(-np.maximum(col, 0) / self.flyback_length_px)
        drift_down_px, drift_right_px = self.drift_px
        return drift_down_px * elapsed, drift_right_px * elapsed + self.flyback_px * decay

    def positions_in_frame(self, positions: np.ndarray, frame: int, n_rows: int) -> np.ndarray:
        """Where columns at `positions` (N, 2) of the specimen appear in a frame, (N, 2) px."""
        place = positions
        for _ in range(8):  # place + displacement(place) = positions
            row, col = place.T
            moved = self.displacement(row, col, frame, n_rows)
            place = positions - np.stack(moved, axis=1)
        return place


def scan_specimen(
    specimen, n_frames: int = 1, *, scan: Scan | None = None, seed: int = 0
) -> tuple[np.ndarray, Truth]:
    """Record frames of a specimen: counts (F, H, W) uint16, and the truth of each column.

    A specimen is whatever has a `shape`, a `fraction(row, col)` of the beam that reaches the
    detector, and `columns()`, its `Truth`: see `atoms` and `specimen`.
    """
    if scan is None:
        scan = Scan()
    rng = np.random.default_rng(seed)
    numbers = range(n_frames)
    frames = np.stack([scan_frame(specimen, number, scan, rng) for number in numbers])
    truth = specimen.columns()
    still = truth.positions[0]
    height = specimen.shape[0]
    positions = [scan.positions_in_frame(still, number, height) for number in numbers]
    return frames, replace(truth, positions=np.stack(positions))


def scan_frame(specimen, number: int, scan: Scan, seed: int | np.random.Generator) -> np.ndarray:
    """One frame of a stack, counts (H, W) uint16: frame `number`, as far as the drift goes."""
    rng = np.random.default_rng(seed)
    height, width = specimen.shape
    row, col = np.mgrid[:height, :width].astype(np.float64)
    down, right = scan.displacement(row, col, number, height)
    jitter = _line_jitter(height, scan, rng)
    expected = specimen.fraction(row + down + jitter[:, :1], col + right + jitter[:, 1:])
    counts = rng.poisson(scan.dose * expected)
    return counts.astype(np.uint16)


def _line_jitter(n_rows: int, scan: Scan, rng: np.random.Generator) -> np.ndarray:
    """Displacement (row, col) of each scan line in px, a first-order autoregression."""
    noise = rng.normal(size=(n_rows, 2)) * scan.jitter_px
    noise[1:] *= np.sqrt(1 - scan.jitter_memory**2)
    return signal.lfilter([1.0], [1.0, -scan.jitter_memory], noise, axis=0)
