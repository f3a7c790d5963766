"""Simulate the ADF-STEM image of one projected unit cell for every specimen thickness.

    python data/recipes/make_cells.py [Sr3Fe2O7_100 | Sr3Fe2O7_110 | Sr3Fe2O7_100_focal]
                              [--configurations 8] [--folder build/cells]

A perfect crystal is periodic, so the image of one cell is enough for any field of view. The
multislice run keeps the wave at many exit planes, which gives every thickness for the price of the
largest. Two mirrors and the second block, which repeats the first, leave an eighth of the cell to
be scanned. Each phonon configuration is a file of its own in FOLDER: an interrupted run goes on
where it was. The focal series repeats each configuration at every defocus, to half the thickness.
Its defocus is positive for underfocus, as abTEM defines it: the probe is narrowest that far below
the entrance surface.

Needs the extra ``simulate`` (abTEM). One thread needs about a minute a configuration.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parents[1]

# Sr3Fe2O7, I4/mmm: a composite of secondary sources (see data/README.md).
A_ANGSTROM = 3.85
C_ANGSTROM = 20.15
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


@dataclass(frozen=True)
class Projection:
    """How the crystal stands in the beam, and how much of it is computed.

    The crystal is described in a right-angled box: across, along c, along the beam.
    """

    box_angstrom: tuple[float, float, float]
    axes: tuple  # fractions (x, y, z) of the cell times this matrix are fractions of the box
    lattice: tuple  # the lattice points in the box, in its fractions
    period_angstrom: float  # of the projected crystal, across; along c it is C_ANGSTROM
    block_shift: float  # of the block at c/2 against that at 0, in fractions of the period
    planes_per_box: int  # atomic planes along the beam; each has a slice of its own
    planes_per_exit: int
    boxes: tuple[int, int, int]
    grid: tuple[int, int]  # 0.05 angstrom: 160 mrad stay inside the antialiasing disk
    scan_points: tuple[int, int]  # over an eighth of the cell, both ends included
    defocus_nm: tuple[float, ...] = (0.0,)

    @property
    def exit_step_nm(self) -> float:
        return self.planes_per_exit * self.box_angstrom[2] / self.planes_per_box / 10


ALONG_100 = Projection(
    box_angstrom=(A_ANGSTROM, C_ANGSTROM, A_ANGSTROM),
    axes=((0, 0, 1), (1, 0, 0), (0, 1, 0)),  # across b, along c, the beam along a
    lattice=((0, 0, 0), (0.5, 0.5, 0.5)),
    period_angstrom=A_ANGSTROM,
    block_shift=0.5,  # c2mm
    planes_per_box=2,
    planes_per_exit=4,
    boxes=(5, 1, 84),  # 19.25 x 20.15 angstrom: the probe's tails do not meet their own image
    grid=(400, 400),
    scan_points=(11, 27),  # finer than the 0.21 angstrom needed
)
ALONG_110 = Projection(
    box_angstrom=(A_ANGSTROM * 2**0.5, C_ANGSTROM, A_ANGSTROM * 2**0.5),
    axes=((0.5, 0, 0.5), (-0.5, 0, 0.5), (0, 1, 0)),  # across a - b, the beam along a + b
    lattice=((0, 0, 0), (0.5, 0, 0.5), (0, 0.5, 0.5), (0.5, 0.5, 0)),
    period_angstrom=A_ANGSTROM / 2**0.5,
    block_shift=0.0,  # p2mm of half the height: the blocks stand above one another
    planes_per_box=4,  # two of them are of oxygen alone
    planes_per_exit=6,
    boxes=(4, 1, 60),  # 21.8 x 20.15 angstrom, 32.7 nm deep
    grid=(432, 400),
    scan_points=(8, 27),
)
PROJECTIONS = {
    "Sr3Fe2O7_100": ALONG_100,
    "Sr3Fe2O7_110": ALONG_110,
    "Sr3Fe2O7_100_focal": replace(
        ALONG_100, boxes=(5, 1, 42), defocus_nm=(0.0, 4.0, 8.0, 12.0, 16.0, 20.0)
    ),
}


def build_crystal(projection: Projection):
    """The supercell with the beam along its third axis, each atomic plane in mid-slice."""
    from ase import Atoms

    half_slice = np.array([0, 0, 0.5 / projection.planes_per_box])
    symbols = []
    positions = []
    for species, site in SITES:
        for point in projection.lattice:
            symbols.append(species)
            positions.append((np.array(site) @ projection.axes + point + half_slice) % 1)
    cell = projection.box_angstrom
    return Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True) * projection.boxes


def scan_one_configuration(projection: Projection, seed: int) -> np.ndarray:
    """Fraction of the beam on the detector, (defocus, thickness, y, z) over an eighth of a cell."""
    import abtem
    from abtem.antialias import AntialiasAperture

    phonons = abtem.FrozenPhonons(
        build_crystal(projection), num_configs=1, sigmas=RMS_DISPLACEMENT_ANGSTROM, seed=seed
    )
    thickness = projection.box_angstrom[2] / projection.planes_per_box
    potential = abtem.Potential(phonons, gpts=projection.grid, slice_thickness=thickness)
    potential = potential.build(lazy=False)[0]
    slices = AntialiasAperture().bandlimit(potential.transmission_function(ENERGY_EV))
    corner = (projection.period_angstrom / 2, C_ANGSTROM / 4)
    scan = abtem.GridScan((0, 0), corner, gpts=projection.scan_points, endpoint=True)
    series = []
    for defocus_nm in projection.defocus_nm:
        probe = abtem.Probe(
            energy=ENERGY_EV, semiangle_cutoff=CONVERGENCE_MRAD, defocus=10 * defocus_nm
        )
        probe.grid.match(potential)
        planes = propagate(probe.build(scan, lazy=False), slices, projection.planes_per_exit)
        series.append(planes.reshape(-1, *projection.scan_points))
    return np.stack(series)


def propagate(probes, slices, every: int) -> np.ndarray:
    """Fraction of the beam on the detector behind every so many slices, (thicknesses, probes).

    The parts are abTEM's, and so is the result. Only the loop is not: it takes one probe at a time
    through the crystal, for a single wave stays in the processor's cache.
    """
    import pyfftw
    from abtem.multislice import FresnelPropagator

    wave = pyfftw.empty_aligned(probes.gpts, np.complex64)
    forward = pyfftw.FFTW(wave, wave, axes=(0, 1))
    backward = pyfftw.FFTW(wave, wave, axes=(0, 1), direction="FFTW_BACKWARD")
    step = FresnelPropagator().get_array(probes, slices.slice_thickness[0]) / wave.size
    frequency = [np.fft.fftfreq(n, d) for n, d in zip(probes.gpts, probes.sampling, strict=True)]
    mrad = 1e3 * probes.wavelength * np.hypot(*np.meshgrid(*frequency, indexing="ij"))
    on_detector = (DETECTOR_MRAD[0] <= mrad) & (mrad < DETECTOR_MRAD[1])
    starts = probes.array.reshape(-1, *wave.shape)
    seen = np.empty((len(slices) // every, len(starts)))
    for column, start in zip(seen.T, starts, strict=True):
        wave[:] = start
        for done, phase in enumerate(slices.array, 1):
            wave *= phase
            forward.execute()
            if done % every == 0:
                column[done // every - 1] = np.sum(np.abs(wave[on_detector]) ** 2)
            wave *= step
            backward.execute()
    return seen


def list_columns(block_shift: float) -> dict[str, np.ndarray]:
    """The heavy columns of the projected cell: place (y, z) in cell fractions, kind, sign.

    All of them lie on the c axis of their block, so they share its place across c. The sign of the
    layer is +1 when the rock-salt gap lies on the column's +c side, -1 on its -c side, 0 for Sr1
    in the middle of the perovskite block.
    """
    rows = []
    for species, (_, y, z) in SITES:
        if species == "O":
            continue
        from_block = z - np.round(2 * z) / 2  # height above the middle of its own block
        is_middle = abs(from_block) < 1e-6
        site = species
        if species == "Sr":
            site = "Sr1" if is_middle else "Sr2"
        sign = 0 if is_middle else int(np.sign(from_block))
        rows += [
            (y, z % 1, species, site, sign),
            ((y + block_shift) % 1, (z + 0.5) % 1, species, site, sign),
        ]
    y, z, species, site, sign = (np.array(column) for column in zip(*rows, strict=True))
    return {"site_yz": np.stack([y, z], 1), "species": species, "site": site, "sign": sign}


def run_configurations(name: str, number: int, folder: Path) -> np.ndarray:
    """All phonon configurations, (configuration, defocus, thickness, y, z); done ones are read."""
    import abtem

    abtem.config.set({"num_workers": 1, "progress_bar.enabled": False})
    folder.mkdir(parents=True, exist_ok=True)
    runs = []
    for seed in range(number):
        path = folder / f"{name}_{seed}.npy"
        if not path.exists():
            start = time.perf_counter()
            values = scan_one_configuration(PROJECTIONS[name], seed)
            partial = path.with_suffix(".partial.npy")
            np.save(partial, values)
            partial.replace(path)
            print(f"configuration {seed}: {time.perf_counter() - start:.0f} s", flush=True)
        runs.append(np.load(path))
    return np.stack(runs)


def save_library(path: Path, projection: Projection, mean: np.ndarray) -> None:
    """Write the mean (defocus, thickness, y, z) as `cell_library.load_cells` opens it."""
    np.savez_compressed(
        path,
        eighth=mean.astype(np.float32),
        defocus_nm=np.array(projection.defocus_nm),
        thickness_nm=np.arange(1, mean.shape[1] + 1) * projection.exit_step_nm,
        cell_nm=np.array([projection.period_angstrom, C_ANGSTROM]) / 10,
        block_shift=projection.block_shift,
        **list_columns(projection.block_shift),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=PROJECTIONS, default="Sr3Fe2O7_100")
    parser.add_argument("--configurations", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=Path("build/cells"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    runs = run_configurations(options.name, options.configurations, options.folder)
    mean = runs.mean(axis=0)
    noise = runs.std(axis=0, ddof=1).mean() / np.sqrt(len(runs)) / mean.mean()
    out = options.out
    if out is None:
        out = DATA / f"{options.name}.npz"
    save_library(out, PROJECTIONS[options.name], mean)
    print(f"{out}: {len(runs)} configurations, residual noise {noise:.2%} of the mean")


if __name__ == "__main__":
    main()
