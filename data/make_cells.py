"""Simulate the ADF-STEM image of one projected unit cell for every specimen thickness.

    python data/make_cells.py [--configurations 8] [--folder build/cells]

A perfect crystal is periodic, so the image of one cell is enough for any field of view. The
multislice run keeps the wave at many exit planes, which gives every thickness for the price of the
largest. The mirror planes and the centring of c2mm leave an eighth of the cell to be scanned.
Each phonon configuration is a file of its own in FOLDER: an interrupted run goes on where it was.

Needs the extra ``simulate`` (abTEM). One thread needs about half an hour to an hour for eight
configurations.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

# Sr3Fe2O7, I4/mmm: a composite of secondary sources (see data/README.md).
A_ANGSTROM, C_ANGSTROM = 3.85, 20.15
SITES = [  # species, (x, y, z) in fractions of the cell
    ("Sr", (0.0, 0.0, 0.5)),
    ("Sr", (0.0, 0.0, 0.317)),
    ("Sr", (0.0, 0.0, -0.317)),
    ("Fe", (0.0, 0.0, 0.0972)),
    ("Fe", (0.0, 0.0, -0.0972)),
    ("O", (0.0, 0.0, 0.0)),
    ("O", (0.0, 0.0, 0.194)),
    ("O", (0.0, 0.0, -0.194)),
    ("O", (0.0, 0.5, 0.0957)),
    ("O", (0.0, 0.5, -0.0957)),
    ("O", (0.5, 0.0, 0.0957)),
    ("O", (0.5, 0.0, -0.0957)),
]
RMS_DISPLACEMENT_ANGSTROM = {"Sr": 0.087, "Fe": 0.071, "O": 0.10}

ENERGY_EV = 200e3
CONVERGENCE_MRAD = 30.0
DETECTOR_MRAD = (80.0, 160.0)
LATERAL_CELLS = (5, 1)  # 19.25 x 20.15 angstrom: the probe's tails do not meet their own image
GRID = (400, 400)  # 0.05 angstrom: 160 mrad stay inside the antialiasing disk
CELLS_DEEP = 84  # 32.3 nm
CELLS_PER_EXIT_PLANE = 2
SCAN_POINTS = (11, 27)  # over (a/2, c/4), both ends included: finer than the 0.21 angstrom needed


def build_crystal():
    """The supercell with the beam along z: (y, z, x) of the crystal become (x, y, z)."""
    from ase import Atoms

    symbols, positions = [], []
    for species, (x, y, z) in SITES:
        for centring in (0.0, 0.5):  # the body-centred lattice
            symbols.append(species)
            depth = x + centring + 0.25  # a quarter cell: each atomic plane in mid-slice
            positions.append([(y + centring) % 1, (z + centring) % 1, depth % 1])
    cell = [A_ANGSTROM, C_ANGSTROM, A_ANGSTROM]
    atoms = Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True)
    return atoms * (*LATERAL_CELLS, CELLS_DEEP)


def scan_one_configuration(crystal, seed: int) -> np.ndarray:
    """Fraction of the beam on the detector, (thicknesses, y, z) over an eighth of the cell."""
    import abtem

    slices_per_plane = 2 * CELLS_PER_EXIT_PLANE  # two atomic planes a cell
    phonons = abtem.FrozenPhonons(
        crystal, num_configs=1, sigmas=RMS_DISPLACEMENT_ANGSTROM, seed=seed
    )
    potential = abtem.Potential(
        phonons, gpts=GRID, slice_thickness=A_ANGSTROM / 2, exit_planes=slices_per_plane
    )
    probe = abtem.Probe(energy=ENERGY_EV, semiangle_cutoff=CONVERGENCE_MRAD)
    scan = abtem.GridScan(
        start=(0, 0), end=(A_ANGSTROM / 2, C_ANGSTROM / 4), gpts=SCAN_POINTS, endpoint=True
    )
    detector = abtem.AnnularDetector(inner=DETECTOR_MRAD[0], outer=DETECTOR_MRAD[1])
    measured = probe.scan(potential, scan=scan, detectors=detector).compute(progress_bar=False)
    planes = np.asarray(measured.array)
    return planes.reshape(-1, *SCAN_POINTS)[1:]  # the first plane is the entrance: no specimen


def list_columns() -> dict[str, np.ndarray]:
    """The heavy columns of the projected cell: place (y, z) in cell fractions, kind, sign.

    The sign of the layer is +1 when the rock-salt gap lies on the column's +c side, -1 on its -c
    side, 0 for Sr1 in the middle of the perovskite block.
    """
    rows = []
    for species, (_, y, z) in SITES:
        if species == "O":
            continue
        from_block = z - np.round(2 * z) / 2  # height above the middle of its own block
        site = species if species == "Fe" else ("Sr1" if abs(from_block) < 1e-6 else "Sr2")
        sign = 0 if site == "Sr1" else int(np.sign(from_block))
        rows += [
            (y, z % 1, species, site, sign),
            ((y + 0.5) % 1, (z + 0.5) % 1, species, site, sign),
        ]
    y, z, species, site, sign = (np.array(column) for column in zip(*rows, strict=True))
    return {"site_yz": np.stack([y, z], 1), "species": species, "site": site, "sign": sign}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configurations", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=Path("build/cells"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("Sr3Fe2O7_100.npz"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    import abtem

    abtem.config.set({"num_workers": 1, "progress_bar.enabled": False})
    crystal = build_crystal()
    runs = []
    for seed in range(options.configurations):
        path = options.folder / f"Sr3Fe2O7_100_{seed}.npy"
        if not path.exists():
            start = time.perf_counter()
            values = scan_one_configuration(crystal, seed)
            partial = path.with_suffix(".partial.npy")
            np.save(partial, values)
            partial.replace(path)
            print(f"configuration {seed}: {time.perf_counter() - start:.0f} s", flush=True)
        runs.append(np.load(path))

    runs = np.stack(runs)  # (configurations, T, y, z)
    mean = runs.mean(axis=0)
    noise = runs.std(axis=0, ddof=1).mean() / np.sqrt(len(runs)) / mean.mean()
    thickness_nm = np.arange(1, len(mean) + 1) * CELLS_PER_EXIT_PLANE * A_ANGSTROM / 10
    np.savez_compressed(
        options.out,
        eighth=mean.astype(np.float32),
        thickness_nm=thickness_nm,
        cell_nm=np.array([A_ANGSTROM, C_ANGSTROM]) / 10,
        **list_columns(),
    )
    print(f"{options.out}: {len(runs)} configurations, residual noise {noise:.2%} of the mean")


if __name__ == "__main__":
    main()
