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
TITANIUM_AT, TITANIUM_TO_LEAD = 0.5377, 0.44  # along c; as in a multislice image of 40 nm


@dataclass(frozen=True)
class Probe:
    """A round probe, in focus and without aberrations."""

    energy_kev: float
    convergence_mrad: float
    source_fwhm_nm: float

    def transfer(self, shape, pixel_size_nm: float) -> np.ndarray:
        """Transfer function (H, W) of the incoherent image; its mean is 1, so is a lone peak."""
        energy, rest = self.energy_kev * 1e3 * constants.e, constants.m_e * constants.c**2
        wave_nm = 1e9 * constants.h * constants.c / np.sqrt(energy * (energy + 2 * rest))
        k = np.hypot(*np.meshgrid(*[fft.fftfreq(n, pixel_size_nm) for n in shape], indexing="ij"))
        probe = np.abs(fft.ifft2(k * wave_nm < self.convergence_mrad * 1e-3)) ** 2
        sigma_nm = self.source_fwhm_nm / np.sqrt(8 * np.log(2))
        transfer = fft.fft2(probe).real * np.exp(-2 * (np.pi * sigma_nm * k) ** 2)
        return transfer / transfer.mean()


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
        spots = render_columns(grid, self.truth.positions[0] + self._margin_px, self.height, 1.0)
        k2 = np.add.outer(*[fft.fftfreq(n) ** 2 for n in grid])
        spot = 2 * np.pi * np.exp(-2 * np.pi**2 * k2)  # what was drawn, to be taken back
        transfer = self.probe.transfer(grid, self.pixel_size_nm)
        return ndimage.spline_filter(fft.ifft2(fft.fft2(spots) * transfer / spot).real)

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
    *, shape: tuple[int, int] = (512, 512), pixel_size_nm: float = 0.015, grains: int = 2,
    silicon: float = 0.01, height: float = 1.0, seed: int = 0,
) -> AtomSum:  # fmt: skip
    """Graphene of several grains; a share `silicon` of the carbon is replaced.

    Grains meet where their centres are equally far; of two atoms nearer than 0.1 nm there, one is
    left out. `height` is the fraction of the beam that a carbon scatters: with the default, a dose
    of 5 makes 5 counts. The probe is one of 60 kV and 32 mrad.
    """
    rng = np.random.default_rng(seed)
    cell = HEXAGONAL * CARBON_NM * np.sqrt(3) / pixel_size_nm
    centres, turns = rng.uniform(0, 1, (grains, 2)) * shape, rng.uniform(0, np.pi / 3, grains)
    sites = np.array([[1 / 3, 1 / 3], [2 / 3, 2 / 3]])
    sheets = [crystal(cell, sites, turn, shape) for turn in turns]
    own = [cKDTree(centres).query(sheet)[1] == n for n, sheet in enumerate(sheets)]
    places = np.concatenate([sheet[mine] for sheet, mine in zip(sheets, own, strict=True)])
    angles = np.repeat(turns, [mine.sum() for mine in own])
    second = cKDTree(places).query_pairs(0.1 / pixel_size_nm, output_type="ndarray")[:, 1]
    places, angles = (np.delete(values, second, axis=0) for values in (places, angles))
    odd = rng.random(len(places)) < silicon
    truth = _truth(places, np.where(odd, "Si", "C"), np.zeros(len(places), int), angles, odd)
    heights = height * np.where(odd, SILICON_TO_CARBON, 1)
    return AtomSum(shape, pixel_size_nm, Probe(60, 32, 0.05), truth, heights)


def alloy(
    *, shape: tuple[int, int] = (512, 512), pixel_size_nm: float = 0.02, tungsten: float = 0.3,
    clustering: float = 0.0, angle_deg: float = 8.0, height: float = 1.0, seed: int = 0,
) -> AtomSum:  # fmt: skip
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
    cell, turn = HEXAGONAL * MOS2_NM / pixel_size_nm, np.deg2rad(angle_deg)
    sites = np.array([[1 / 3, 1 / 3, 1], [2 / 3, 2 / 3, 0]])
    columns = crystal(cell, sites, turn - np.pi / 6, shape)  # the S2 lies 30 degrees off the cell
    places, metal = columns[:, :2], columns[:, 2] > 0
    pairs = cKDTree(places[metal]).query_pairs(1.1 * MOS2_NM / pixel_size_nm, output_type="ndarray")
    chance = rng.normal(size=metal.sum())
    around = sum(np.bincount(a, chance[b], len(chance)) for a, b in (pairs.T, pairs.T[::-1]))
    rank = (chance + clustering * around / np.sqrt(6)).argsort().argsort()
    names = np.full(len(places), "S2")
    names[metal] = np.where(rank < round((1 - tungsten) * len(rank)), "Mo", "W")
    relative = {"Mo": 1, "W": TUNGSTEN_TO_MOLYBDENUM, "S2": SULPHUR_TO_MOLYBDENUM}
    heights = height * np.array([relative[name] for name in names])
    nothing, angles = np.zeros(len(places), int), np.full(len(places), turn)
    truth = _truth(places, names, nothing, angles, names == "W")
    return AtomSum(shape, pixel_size_nm, Probe(60, 32, 0.05), truth, heights)


def ferroelectric(
    *, shape: tuple[int, int] = (512, 512), pixel_size_nm: float = 0.016, angle_deg: float = 8.0,
    height: float = 0.15, seed: int = 0,
) -> AtomSum:  # fmt: skip
    """PbTiO3 along [100] in two domains of opposite polarisation, side by side.

    c points upwards, turned by `angle_deg`. `sign` of the truth is +1 in the domain whose titanium
    lies towards +c from the middle of its four leads, -1 in the other; `angle_rad` is the direction
    of that displacement. `height` is the fraction of the beam that a lead column scatters. Oxygen
    is too faint to be drawn.
    """
    rng = np.random.default_rng(seed)
    cell = np.diag(PBTIO3_NM) / pixel_size_nm  # a to the right, c upwards, then turned
    sites = np.array([[0, 0, 0, 0], [0.5, 0.5, 1, TITANIUM_AT - 0.5]])
    columns = crystal(cell, sites, np.deg2rad(angle_deg), shape)
    titanium = columns[:, 2] > 0
    along_a, along_c = (np.deg2rad(angle_deg) + turn for turn in (0, np.pi / 2))
    wall = np.array(shape) / 2 + rng.uniform(-0.1, 0.1, 2) * shape
    side = (columns[:, :2] - wall) @ [-np.sin(along_a), np.cos(along_a)]
    sign = np.where(side < 0, 1, -1)
    shift = columns[:, 3] * sign * PBTIO3_NM[1] / pixel_size_nm
    places = columns[:, :2] + shift[:, None] * [-np.sin(along_c), np.cos(along_c)]
    names = np.where(titanium, "Ti", "Pb")
    angle = np.where(sign > 0, along_c, along_c - np.pi)
    truth = _truth(places, names, sign, angle, np.zeros(len(places), bool))
    heights = height * np.where(titanium, TITANIUM_TO_LEAD, 1)
    return AtomSum(shape, pixel_size_nm, Probe(200, 25, 0.08), truth, heights)


def _truth(places, species, sign, angle, odd) -> Truth:
    nothing, endless = np.zeros(len(places)), np.full(len(places), np.inf)
    about = (species, species, sign, angle, nothing, nothing > 0, odd, endless)
    return Truth(places[None], *about)
