"""Make the shipped sample: a simulated stack of Sr3Fe2O7 [100] and the truth of its columns.

    python data/recipes/make_sample.py

Eight drifting, jittering, noisy frames at the reference settings of `helpers.simulate.scan.Scan`:
a wedge from 8 to 31 nm, one n = 3 intergrowth, twelve odd columns. Seconds on one core.
"""

from __future__ import annotations

from pathlib import Path

import hyperspy.api as hs
import numpy as np

from helpers.simulate.scan import Scan, scan_specimen
from helpers.simulate.specimen import single_crystal
from helpers.simulate.truth import KINDS, Truth

DATA = Path(__file__).resolve().parents[1]
N_FRAMES = 8
PIXEL_SIZE_NM = 0.02
SEED = 327
FORMS = {str: "%s", int: "%d", bool: "%d", float: "%.5g"}  # of numbers in the table of the truth


def main() -> None:
    """Write sr3fe2o7_stack.hspy and sr3fe2o7_truth.csv beside this script."""
    specimen = single_crystal(pixel_size_nm=PIXEL_SIZE_NM, fault=True, n_odd=12, seed=SEED)
    frames, truth = scan_specimen(specimen, N_FRAMES, scan=Scan(), seed=SEED)
    most = frames.max()
    if most > 255:
        raise ValueError(f"{most} counts do not fit into 8 bits: lower the dose")
    signal = as_signal(frames)
    path = DATA / "sr3fe2o7_stack.hspy"
    signal.save(path, overwrite=True, compression="gzip", chunks=(1, 1024, 1024))
    save_truth(DATA / "sr3fe2o7_truth.csv", truth, specimen.shape)
    print(f"{path}: mean {frames.mean():.2f}, largest {most} counts, {len(truth)} columns")


def as_signal(frames: np.ndarray) -> hs.signals.Signal2D:
    """The frames as a HyperSpy signal, with axes and metadata."""
    signal = hs.signals.Signal2D(frames.astype(np.uint8))
    signal.metadata.General.title = "Sr3Fe2O7 [100], simulated ADF-STEM stack"
    signal.metadata.General.notes = "Simulated data: see data/README.md"
    microscope = {
        "beam_energy": 200.0,  # kV, HyperSpy's own names and units
        "acquisition_mode": "STEM",
        "microscope": "simulated (multislice, frozen phonons)",
        "convergence_angle": 30.0,  # mrad
        "Detector": {"ADF": {"inner_angle": 80.0, "outer_angle": 160.0}},
    }
    signal.metadata.add_dictionary({"Acquisition_instrument": {"TEM": microscope}})
    frame_axis, *image_axes = signal.axes_manager._axes
    frame_axis.name = "frame"
    frame_axis.units = ""
    for axis, name in zip(image_axes, ("y", "x"), strict=True):
        axis.name = name
        axis.units = "nm"
        axis.scale = PIXEL_SIZE_NM
    return signal


def save_truth(path: Path, truth: Truth, shape: tuple[int, int]) -> None:
    """Write the columns that lie inside at least one frame of `shape` to a CSV table."""
    inside = (truth.positions > -0.5) & (truth.positions < np.array(shape) - 0.5)
    in_frame = inside.all(axis=2)
    truth = truth.take(in_frame.any(axis=0))
    names = []
    values = []
    forms = []
    for number, positions in enumerate(truth.positions):
        names += [f"row_{number}", f"col_{number}"]
        values += [*positions.T]
        forms += ["%.3f", "%.3f"]
    for name, kind in KINDS.items():
        names.append(name)
        values.append(getattr(truth, name))
        forms.append(FORMS[kind])
    table = np.rec.fromarrays(values)
    header = ",".join(names)
    np.savetxt(path, table, fmt=forms, delimiter=",", header=header, comments="")


if __name__ == "__main__":
    main()
