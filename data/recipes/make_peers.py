"""Let Atomap and AtomAI measure simulated images: what the page on comparing lays beside ours.

    .venv-peers/bin/python data/recipes/make_peers.py [--folder data]

Run it with the environment of the peers (``make .venv-peers/.installed``: Atomap 0.4.2, AtomAI
0.8.1); one minute on one thread. `data/recipes/register.py` then writes the checksums. Three
tables, as a user would export them:

- ``peer_positions_atomap.csv``: the columns of the central 512 x 512 px of the aligned sample.
  ``get_atom_positions``, then a sublattice refined twice by centre of mass and once by Gaussians.
  The positions are those of `Sublattice.atom_positions`: x (column), y (row), in pixels.
- ``peer_positions_atomai.csv``: the same image. AtomAI's `Locator` takes the output of a network;
  here this is the probability map of `helpers.segment`. It is thresholded, each blob becomes its
  centre of mass, and each centre a Gaussian fit of AtomAI. The first number is the row, though
  AtomAI's own documentation calls the pair "xy": so does the header.
- ``peer_angles.csv``: one frame of a simulated polycrystal. For each of Atomap's columns the mean
  direction of the bonds to its four nearest neighbours (Atomap's own list of them), modulo 90
  degrees, in degrees from 0 to 90. As y runs down in Atomap, it grows clockwise.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np

from helpers import align_stack, fetch, load_image, segment
from helpers.simulate.scan import Scan, scan_specimen
from helpers.simulate.specimen import polycrystal

DATA = Path(__file__).resolve().parents[1]
SIDE_PX = 512
SEPARATION_PX = 6  # half the distance between neighbours, which Atomap itself would take
GRAINS_SEED = 4
SCAN_SEED = 14
MEASURED_WITH = ("atomap", "atomai", "hyperspy", "numpy")


def central_crop() -> np.ndarray:
    """The central part of the mean of the aligned sample."""
    stack = load_image(fetch("sr3fe2o7_stack.hspy"))
    mean, _ = align_stack(stack, progress=False)
    top, left = (np.array(mean.data.shape) - SIDE_PX) // 2
    return mean.data[top : top + SIDE_PX, left : left + SIDE_PX]


def frame_of_grains() -> np.ndarray:
    """One frame of a simulated polycrystal, as the page draws it."""
    specimen = polycrystal(shape=(SIDE_PX, SIDE_PX), seed=GRAINS_SEED)
    scan = Scan(dose=220)
    frames, _ = scan_specimen(specimen, scan=scan, seed=SCAN_SEED)
    return frames[0].astype(np.float32)


def measure_with_atomap(image: np.ndarray):
    """The sublattice of all columns, refined in the way of Atomap's own introduction."""
    import atomap.api as am
    import hyperspy.api as hs

    signal = hs.signals.Signal2D(image)
    start = am.get_atom_positions(signal, separation=SEPARATION_PX)
    sublattice = am.Sublattice(start, image=signal)
    sublattice.find_nearest_neighbors()
    for _ in range(2):
        sublattice.refine_atom_positions_using_center_of_mass(show_progressbar=False)
    sublattice.refine_atom_positions_using_2d_gaussian(show_progressbar=False)
    return sublattice


def measure_with_atomai(image: np.ndarray) -> np.ndarray:
    """AtomAI's coordinates (N, 3): two numbers of the place, and the class."""
    # AtomAI imports torchvision, whose compiled parts may not fit a torch for the processor. They
    # are not used here: these two modules, left empty, keep it from asking for them.
    for name in ("_meta_registrations", "_autograd_registrations"):
        sys.modules[f"torchvision.{name}"] = ModuleType(name)
    from atomai.predictors import Locator

    probability = segment(image, progress=False)
    locator = Locator(threshold=0.5, dist_edge=5, refine=True)
    coordinates = locator.run(probability[None, ..., None], image[None, ..., None])  # (1, H, W, 1)
    return coordinates[0]


def bond_directions(sublattice) -> np.ndarray:
    """Mean direction (N,) of the four shortest bonds, modulo 90 degrees; clockwise, in degrees."""
    sublattice.find_nearest_neighbors(nearest_neighbors=5)  # itself is the first
    directions = []
    for atom in sublattice.atom_list:
        away = np.array([near.get_pixel_difference(atom) for near in atom.nearest_neighbor_list])
        is_other = np.any(away != 0, axis=1)
        bonds = away[is_other] @ [1, 1j]  # x to the right, y down
        fourfold = np.mean((bonds / abs(bonds)) ** 4)
        directions.append(np.angle(fourfold) / 4)
    return np.rad2deg(directions) % 90


def write(path: Path, header: str, *columns: np.ndarray) -> None:
    """A table with a header, thousandths of a pixel or of a degree."""
    table = np.column_stack(columns)
    np.savetxt(path, table, fmt="%.3f", delimiter=",", header=header, comments="")
    size_kb = path.stat().st_size / 1000
    print(f"{path.name}: {len(table)} rows, {size_kb:.0f} kB")


def main() -> None:
    summary, *_ = __doc__.splitlines()
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--folder", type=Path, default=DATA)
    options = parser.parse_args()
    folder = options.folder
    began = time.monotonic()
    image = central_crop()
    atomap = measure_with_atomap(image)
    columns = (atomap.atom_positions, atomap.sigma_x, atomap.sigma_y)
    write(folder / "peer_positions_atomap.csv", "x,y,sigma_x,sigma_y", *columns)
    atomai = measure_with_atomai(image)
    write(folder / "peer_positions_atomai.csv", "x,y,class", atomai)
    grains = measure_with_atomap(frame_of_grains())
    angles = bond_directions(grains)
    write(folder / "peer_angles.csv", "x,y,angle", grains.atom_positions, angles)
    versions = [f"{name} {version(name)}" for name in MEASURED_WITH]
    seconds = time.monotonic() - began
    print(*versions, f"{seconds:.0f} s")


if __name__ == "__main__":
    main()
