"""Images as sums of atoms: graphene with silicon, a two-dimensional alloy, a ferroelectric.

Every atom, or column of atoms, adds the image of the probe times its own height: the incoherent
image of a single layer. For the ferroelectric, whose columns are thick, the heights are effective
ones. `scan_specimen` records these specimens as it does all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import constants, fft, ndimage
from scipy.spatial import cKDTree

from .lattices import HEXAGONAL, crystal, render_columns
from .truth import Truth

MARGIN_NM = 0.8  # drawn around the field, so that drift and jitter find something there
CARBON_NM = 0.142
Z_POWER = 1.64  # of the atomic number, an assumption: powers from 1.6 to 2 are in use
SILICON_TO_CARBON = (14 / 6) ** Z_POWER
MOS2_NM = 0.316  # lattice constant; that of WS2 is within a per cent of it
TUNGSTEN_TO_MOLYBDENUM = (74 / 42) ** Z_POWER
SULPHUR_TO_MOLYBDENUM = 2 * (16 / 42) ** Z_POWER  # two atoms, one above the other
PBTIO3_NM = (0.3904, 0.4152)
TITANIUM_AT = 0.5377  # along c
TITANIUM_TO_LEAD = 0.44  # as in a multislice image of 40 nm
# Sites in fractions of the cell; then, for the alloy, whether it is a metal, and for the
# ferroelectric whether it is titanium, and how far it is off the middle of its leads along c.
GRAPHENE_SITES = np.array([[1 / 3, 1 / 3], [2 / 3, 2 / 3]])
MOS2_SITES = np.array([[1 / 3, 1 / 3, 1], [2 / 3, 2 / 3, 0]])
PBTIO3_SITES = np.array([[0, 0, 0, 0], [0.5, 0.5, 1, TITANIUM_AT - 0.5]])
NEAREST_NM = 0.1  # of two atoms where grains of graphene meet


@dataclass(frozen=True)
class Probe:
    """A round probe, in focus and without aberrations."""

    energy_kev: float
    convergence_mrad: float
    source_fwhm_nm: float

    def transfer(self, shape, pixel_size_nm: float) -> np.ndarray:
        """Transfer function (H, W) of the incoherent image; its mean is 1, so is a lone peak."""
        along_rows, along_cols = (fft.fftfreq(n, pixel_size_nm) for n in shape)
        frequency = np.hypot(along_rows[:, None], along_cols)  # per nm
        aperture = frequency * self.wavelength_nm < self.convergence_mrad * 1e-3
        probe = np.abs(fft.ifft2(aperture)) ** 2
        sigma_nm = self.source_fwhm_nm / np.sqrt(8 * np.log(2))
        source = np.exp(-2 * (np.pi * sigma_nm * frequency) ** 2)
        transfer = fft.fft2(probe).real * source
        return transfer / transfer.mean()

    @property
    def wavelength_nm(self) -> float:
        """Relativistic wavelength of the electrons."""
        energy = self.energy_kev * 1e3 * constants.e
        rest_energy = constants.m_e * constants.c**2
        momentum_times_c = np.sqrt(energy * (energy + 2 * rest_energy))
        return 1e9 * constants.h * constants.c / momentum_times_c


SHEET_PROBE = Probe(energy_kev=60, convergence_mrad=32, source_fwhm_nm=0.05)
OXIDE_PROBE = Probe(energy_kev=200, convergence_mrad=25, source_fwhm_nm=0.08)


@dataclass(frozen=True)
class AtomSum:
    """Atoms in and around a field of view.

    Attributes
    ----------
    shape : (rows, columns)
    pixel_size_nm : float
    probe : Probe
    truth : Truth
    height : (N,) float
        Fraction of the beam on the detector with the probe on each atom of the truth.
    """

    shape: tuple[int, int]
    pixel_size_nm: float
    probe: Probe
    truth: Truth
    height: np.ndarray

    @cached_property
    def _drawn(self) -> np.ndarray:
        """The image with a margin on all sides, as coefficients of cubic splines."""
        grid = tuple(fft.next_fast_len(n + 2 * self._margin_px) for n in self.shape)
        places = self.truth.positions[0] + self._margin_px
        spots = render_columns(grid, places, self.height, 1.0)
        k2_rows, k2_cols = (fft.fftfreq(n) ** 2 for n in grid)
        k2 = np.add.outer(k2_rows, k2_cols)
        spot = 2 * np.pi * np.exp(-2 * np.pi**2 * k2)  # what was drawn, to be taken back
        transfer = self.probe.transfer(grid, self.pixel_size_nm)
        image = fft.ifft2(fft.fft2(spots) * transfer / spot).real
        return ndimage.spline_filter(image)

    @property
    def _margin_px(self) -> int:
        return round(MARGIN_NM / self.pixel_size_nm)

    def fraction(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Fraction of the beam on the detector with the probe at points (row, col), float32."""
        place = [row + self._margin_px, col + self._margin_px]
        image = ndimage.map_coordinates(self._drawn, place, prefilter=False, mode="nearest")
        return np.maximum(image, 0).astype(np.float32)

    def columns(self) -> Truth:
        """Every atom in and just outside the field."""
        return self.truth


def graphene(
    *,
    shape: tuple[int, int] = (512, 512),
    pixel_size_nm: float = 0.015,
    grains: int = 2,
    silicon: float = 0.01,
    height: float = 1.0,
    seed: int = 0,
) -> AtomSum:
    """Graphene of several grains; a share `silicon` of the carbon is replaced.

    Grains meet where their centres are equally far; of two atoms nearer than 0.1 nm there, one is
    left out. `height` is the fraction of the beam that a carbon scatters: with the default, a dose
    of 5 makes 5 counts. The probe is one of 60 kV and 32 mrad.
    """
    rng = np.random.default_rng(seed)
    cell = HEXAGONAL * CARBON_NM * np.sqrt(3) / pixel_size_nm
    centres = rng.uniform(0, 1, (grains, 2)) * shape
    turns = rng.uniform(0, np.pi / 3, grains)
    places, angles = _meeting_grains(cell, centres, turns, shape)
    pairs = cKDTree(places).query_pairs(NEAREST_NM / pixel_size_nm, output_type="ndarray")
    second_of_pair = pairs[:, 1]
    places = np.delete(places, second_of_pair, axis=0)
    angles = np.delete(angles, second_of_pair, axis=0)
    is_silicon = rng.random(len(places)) < silicon
    species = np.where(is_silicon, "Si", "C")
    truth = _truth(places, species, angles, odd=is_silicon)
    heights = height * np.where(is_silicon, SILICON_TO_CARBON, 1)
    return AtomSum(shape, pixel_size_nm, SHEET_PROBE, truth, heights)


def _meeting_grains(cell, centres, turns, shape) -> tuple[np.ndarray, np.ndarray]:
    """Atoms (N, 2) of sheets that meet half-way between their centres, and the turn of each."""
    tree = cKDTree(centres)
    grains = []
    for number, turn in enumerate(turns):
        sheet = crystal(cell, GRAPHENE_SITES, turn, shape)
        _, nearest = tree.query(sheet)
        grains.append(sheet[nearest == number])
    sizes = [len(grain) for grain in grains]
    return np.concatenate(grains), np.repeat(turns, sizes)


def alloy(
    *,
    shape: tuple[int, int] = (512, 512),
    pixel_size_nm: float = 0.02,
    tungsten: float = 0.3,
    clustering: float = 0.0,
    angle_deg: float = 8.0,
    height: float = 1.0,
    seed: int = 0,
) -> AtomSum:
    """A flat monolayer Mo(1-x)W(x)S2, seen from above, with or without short-range order.

    A number is drawn at random for each metal site, `clustering` times the sum over its six metal
    neighbours (as a multiple of its standard deviation) is added, and the share `tungsten` with the
    highest sums is W: positive values bring like neighbours together, negative ones unlike. This
    makes an order of the first shell, and is no thermodynamics. `angle_rad` of the truth is the
    direction from a metal to one of its three S2; `odd` marks W. `height` is the fraction of the
    beam that a Mo scatters: with the default, a dose of 5 makes 5 counts. The probe is one of 60 kV
    and 32 mrad.
    """
    rng = np.random.default_rng(seed)
    turn = np.deg2rad(angle_deg)
    cell = HEXAGONAL * MOS2_NM / pixel_size_nm
    columns = crystal(cell, MOS2_SITES, turn - np.pi / 6, shape)  # S2 is 30 degrees off the cell
    places = columns[:, :2]
    is_metal = columns[:, 2] > 0
    first_shell_px = 1.1 * MOS2_NM / pixel_size_nm
    rank = _order(places[is_metal], first_shell_px, clustering, rng)
    n_molybdenum = round((1 - tungsten) * len(rank))
    species = np.full(len(places), "S2")
    species[is_metal] = np.where(rank < n_molybdenum, "Mo", "W")
    relative = {"Mo": 1, "W": TUNGSTEN_TO_MOLYBDENUM, "S2": SULPHUR_TO_MOLYBDENUM}
    heights = height * np.array([relative[name] for name in species])
    angles = np.full(len(places), turn)
    truth = _truth(places, species, angles, odd=species == "W")
    return AtomSum(shape, pixel_size_nm, SHEET_PROBE, truth, heights)


def _order(metals, first_shell_px: float, clustering: float, rng) -> np.ndarray:
    """Ranks (N,) of the metal sites (N, 2): the higher, the sooner it is tungsten."""
    number = len(metals)
    pairs = cKDTree(metals).query_pairs(first_shell_px, output_type="ndarray")
    first, second = pairs.T
    chance = rng.normal(size=number)
    around = np.bincount(first, chance[second], number)
    around += np.bincount(second, chance[first], number)
    score = chance + clustering * around / np.sqrt(6)
    return score.argsort().argsort()


def ferroelectric(
    *,
    shape: tuple[int, int] = (512, 512),
    pixel_size_nm: float = 0.016,
    angle_deg: float = 8.0,
    height: float = 0.15,
    seed: int = 0,
) -> AtomSum:
    """PbTiO3 along [100] in two domains of opposite polarisation, side by side.

    c points upwards, turned by `angle_deg`. `sign` of the truth is +1 in the domain whose titanium
    lies towards +c from the middle of its four leads, -1 in the other; `angle_rad` is the direction
    of that displacement. `height` is the fraction of the beam that a lead column scatters. Oxygen
    is too faint to be drawn.
    """
    rng = np.random.default_rng(seed)
    along_a = np.deg2rad(angle_deg)
    along_c = along_a + np.pi / 2
    to_the_right = [-np.sin(along_a), np.cos(along_a)]  # [row, column] of a step along a
    upwards = [-np.sin(along_c), np.cos(along_c)]  # and along c
    cell = np.diag(PBTIO3_NM) / pixel_size_nm
    columns = crystal(cell, PBTIO3_SITES, along_a, shape)
    places = columns[:, :2]
    is_titanium = columns[:, 2] > 0
    wall = np.array(shape) / 2 + rng.uniform(-0.1, 0.1, 2) * shape
    from_wall_px = (places - wall) @ to_the_right
    sign = np.where(from_wall_px < 0, 1, -1)
    shift_px = columns[:, 3] * sign * PBTIO3_NM[1] / pixel_size_nm
    polar = places + shift_px[:, None] * upwards
    species = np.where(is_titanium, "Ti", "Pb")
    angles = np.where(sign > 0, along_c, along_c - np.pi)
    truth = _truth(polar, species, angles, sign=sign)
    heights = height * np.where(is_titanium, TITANIUM_TO_LEAD, 1)
    return AtomSum(shape, pixel_size_nm, OXIDE_PROBE, truth, heights)


def _truth(places, species, angle_rad, **known) -> Truth:
    """The truth of atoms of a single layer; `known` gives `sign` or `odd`, else nought."""
    number = len(places)
    nought = {
        "sign": np.zeros(number, int),
        "odd": np.zeros(number, bool),
        "in_fault": np.zeros(number, bool),
        "thickness_nm": np.zeros(number),
        "boundary_px": np.full(number, np.inf),
    }
    return Truth(
        positions=places[None],
        species=species,
        site=species,
        angle_rad=angle_rad,
        **nought | known,
    )
