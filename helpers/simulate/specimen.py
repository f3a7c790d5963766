"""Specimens: crystals or grains, with a wedge, slow strain, a stacking fault and odd columns.

The image at a point r is ``library[thickness(r)](crystal coordinates of r)``, so every field of
view costs one look-up a pixel and the truth of each column is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .cells import CellLibrary, load_cells
from .truth import Truth

MARGIN_PX = 40  # columns are followed this far outside the field: drift brings them in
ODD_RADIUS_NM = 0.08


@dataclass(frozen=True)
class SlowField:
    """A smooth random displacement: a few plane waves longer than a third of the image.

    Displacements are complex pixels, x to the right and i y upwards, as are all places below: in
    this form a turn is a multiplication.
    """

    wave: np.ndarray  # (n, 2) radians per pixel along rows and columns
    phase: np.ndarray  # (n, 2)
    amplitude_px: np.ndarray  # (n, 2)

    @classmethod
    def random(cls, shape: tuple[int, int], strain: float, rng: np.random.Generator) -> SlowField:
        """Waves whose gradient has the given rms (0.003: strains of 0.3 %)."""
        wave = rng.uniform(-1, 1, (3, 2)) * 2 * np.pi * 1.5 / np.array(shape)
        slope = strain * rng.normal(size=(3, 2)) / np.sqrt(3)
        amplitude = slope / np.maximum(np.linalg.norm(wave, axis=1, keepdims=True), 1e-4)
        return cls(wave, rng.uniform(0, 2 * np.pi, (3, 2)), np.clip(amplitude, -8, 8))

    def __call__(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Complex displacement in pixels at points of the specimen."""
        total = 0
        for wave, phase, size in zip(self.wave, self.phase, self.amplitude_px, strict=True):
            swing = wave[0] * row + wave[1] * col
            down, right = (s * np.sin(swing + p) for s, p in zip(size, phase, strict=True))
            total = total + right - 1j * down
        return total

    def rotation(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Local turn of the lattice in radians, counter-clockwise as displayed."""
        along_col = self(row, col + 0.5) - self(row, col - 0.5)
        along_row = self(row + 0.5, col) - self(row - 0.5, col)
        return (along_col.imag + along_row.real) / 2


@dataclass(frozen=True)
class Specimen:
    """One or more grains of a crystal under a thickness wedge.

    Attributes
    ----------
    library : CellLibrary
    shape : (rows, columns) of the field of view
    pixel_size_nm : float
    angles_rad : (G,) float
        Direction of +c in each grain.
    centres_px : (G, 2) float
        A point belongs to the grain whose centre is nearest.
    thickness_nm : (low, high)
        At the two ends of the wedge, which rises along `wedge_rad`.
    fault_nm : float
        Height (along c, from the grain's centre) of the Fe plane where an extra perovskite layer
        is inserted, which makes one n = 3 block; infinite where there is none.
    odd : (K, 3) float
        Row and column of columns whose intensity is multiplied, and the factor.
    """

    library: CellLibrary
    shape: tuple[int, int]
    pixel_size_nm: float
    angles_rad: np.ndarray
    centres_px: np.ndarray
    thickness_nm: tuple[float, float]
    wedge_rad: float
    warp: SlowField
    fault_nm: float = np.inf
    odd: np.ndarray | tuple = ()

    def thickness(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Thickness in nm at points of the specimen (a plane wedge)."""
        height, width = self.shape
        cos, sin = np.cos(self.wedge_rad), np.sin(self.wedge_rad)
        across = (col - width / 2) * cos - (row - height / 2) * sin
        reach = (width * abs(cos) + height * abs(sin)) / 2
        low, high = self.thickness_nm
        return low + (high - low) * (across / reach + 1) / 2

    def grain_of(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Index of the grain at each point."""
        return np.argmin([(row - r) ** 2 + (col - c) ** 2 for r, c in self.centres_px], axis=0)

    def fraction(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Fraction of the beam on the detector with the probe at points (row, col), float32."""
        grain = self.grain_of(row, col)
        from_centre = col - 1j * row - self.warp(row, col) - self._centres[grain]
        crystal_nm = from_centre * np.exp(-1j * self.angles_rad)[grain] * self.pixel_size_nm
        y_nm, z_nm = crystal_nm.imag, crystal_nm.real
        z_nm = np.where(z_nm > self.fault_nm, z_nm - self.extra_layer_nm, z_nm)
        image = self.library.sample(y_nm, z_nm, self.thickness(row, col))
        sigma_px = ODD_RADIUS_NM / self.pixel_size_nm
        for odd_row, odd_col, factor in self.odd:
            squared = (row - odd_row) ** 2 + (col - odd_col) ** 2
            image = image * (1 + (factor - 1) * np.exp(-squared / (2 * sigma_px**2)))
        return image.astype(np.float32)

    @property
    def _centres(self) -> np.ndarray:
        """Centres of the grains as complex pixels, (G,)."""
        return self.centres_px[:, 1] - 1j * self.centres_px[:, 0]

    @property
    def extra_layer_nm(self) -> float:
        """Height of one perovskite layer: the distance of the two Fe planes of a block."""
        iron = self.library.site_yz[self.library.site == "Fe", 1]
        return 2 * float(iron.min()) * float(self.library.cell_nm[1])

    def columns(self) -> Truth:
        """Every heavy column in and just outside the field, as one frame without scan faults."""
        return Truth.join([self._grain_columns(g) for g in range(len(self.angles_rad))])

    def _grain_columns(self, grain: int) -> Truth:
        crystal_nm, kind, in_fault, sign = self._lattice_points()
        turn = np.exp(1j * self.angles_rad[grain]) / self.pixel_size_nm
        place = rest = self._centres[grain] + crystal_nm * turn
        for _ in range(6):  # place = rest + warp(place), a contraction since the strain is small
            place = rest + self.warp(-place.imag, place.real)
        row, col = -place.imag, place.real
        height, width = self.shape
        keep = (-MARGIN_PX < row) & (row < height + MARGIN_PX)
        keep &= (-MARGIN_PX < col) & (col < width + MARGIN_PX) & (self.grain_of(row, col) == grain)
        row, col, kind = row[keep], col[keep], kind[keep]
        return Truth(
            positions=np.stack([row, col], axis=1)[None],
            species=self.library.species[kind],
            site=self.library.site[kind],
            sign=sign[keep],
            angle_rad=self.angles_rad[grain] + self.warp.rotation(row, col),
            thickness_nm=self.thickness(row, col),
            in_fault=in_fault[keep],
            odd=np.isin(np.round(row, 3), np.round([o[0] for o in self.odd], 3)),
            boundary_px=self._distance_to_boundary(place[keep], grain),
        )

    def _lattice_points(self) -> tuple[np.ndarray, ...]:
        """Places z + i y in nm of all columns of an endless crystal that a grain may need."""
        reach = 1.5 * (max(self.shape) + MARGIN_PX) * self.pixel_size_nm
        steps = [np.arange(-int(reach / side), int(reach / side)) for side in self.library.cell_nm]
        cells = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 1, 2)
        y, z = ((cells + self.library.site_yz) * self.library.cell_nm).reshape(-1, 2).T
        kind = np.tile(np.arange(len(self.library.site)), len(cells))
        extra, eps = self.extra_layer_nm, 1e-6
        below = np.flatnonzero(z <= self.fault_nm + eps)
        above = np.flatnonzero(z > self.fault_nm - extra + eps)
        z = np.concatenate([z[below], z[above] + extra])
        y, kind = (values[np.concatenate([below, above])] for values in (y, kind))
        # The inserted block: from the rock-salt gap below the Fe plane to the one above.
        from_middle = np.abs(z - self.fault_nm)
        in_fault = from_middle < self.library.cell_nm[1] / 4 + extra / 2 - 1e-3
        sign = np.where(from_middle < 1e-3, 0, self.library.sign[kind])
        return z + 1j * y, kind, in_fault, sign

    def _distance_to_boundary(self, place: np.ndarray, grain: int) -> np.ndarray:
        """Distance in px to the nearest grain boundary, infinite in a single crystal."""
        own, others = self._centres[grain], np.delete(self._centres, grain)[:, None]
        normal = (others - own) / abs(others - own)
        distance = (((own + others) / 2 - place) * normal.conj()).real  # (G - 1, N)
        return distance.min(axis=0, initial=np.inf)


def single_crystal(
    *, shape: tuple[int, int] = (1024, 1024), pixel_size_nm: float = 0.02, angle_deg: float = 12.0,
    thickness_nm: tuple[float, float] = (8.0, 31.0), source_fwhm_nm: float = 0.08,
    strain: float = 0.002, fault: bool = False, n_odd: int = 0, seed: int = 0,
) -> Specimen:  # fmt: skip
    """A Sr3Fe2O7 crystal seen along [100], with a wedge; optionally one fault and odd columns."""
    rng = np.random.default_rng(seed)
    centre = np.array(shape) / 2 + rng.uniform(-20, 20, 2)
    specimen = _specimen(
        [angle_deg], centre[None], shape, pixel_size_nm, thickness_nm, source_fwhm_nm, strain, rng
    )
    if fault:  # three blocks off the centre, where a block has its upper Fe plane
        blocks_nm = 3 * specimen.library.cell_nm[1] / 2
        specimen = replace(specimen, fault_nm=blocks_nm + specimen.extra_layer_nm / 2)
    return _with_odd_columns(specimen, n_odd, rng) if n_odd else specimen


def _specimen(
    angles_deg, centres_px, shape, pixel_size_nm, thickness_nm, source_fwhm_nm, strain, rng
) -> Specimen:
    """Grains of Sr3Fe2O7 seen along [100], slowly strained, under a wedge of random direction."""
    return Specimen(
        library=load_cells(source_fwhm_nm=source_fwhm_nm),
        shape=shape,
        pixel_size_nm=pixel_size_nm,
        angles_rad=np.deg2rad(angles_deg),
        centres_px=centres_px,
        thickness_nm=thickness_nm,
        wedge_rad=rng.uniform(-np.pi, np.pi),
        warp=SlowField.random(shape, strain, rng),
    )


def _with_odd_columns(specimen: Specimen, n_odd: int, rng: np.random.Generator) -> Specimen:
    """Make `n_odd` columns of the field brighter or darker by 35 to 60 %."""
    places = specimen.columns().positions[0]
    inside = np.all((places > 60) & (places < np.array(specimen.shape) - 60), axis=1)
    chosen = places[rng.choice(np.flatnonzero(inside), n_odd, replace=False)]
    factor = 1 + rng.choice([-1, 1], n_odd) * rng.uniform(0.35, 0.6, n_odd)
    return replace(specimen, odd=np.column_stack([chosen, factor]))


def polycrystal(
    *, shape: tuple[int, int] = (1024, 1024), pixel_size_nm: float = 0.02,
    angles_deg: tuple[float, ...] = (0.0, 31.0, 74.0), source_fwhm_nm: float = 0.085,
    thickness_nm: tuple[float, float] = (12.0, 18.0), strain: float = 0.001, seed: int = 0,
) -> Specimen:  # fmt: skip
    """Grains of Sr3Fe2O7 [100], each turned by its own angle, around the middle of the field."""
    rng = np.random.default_rng(seed)
    around = 2 * np.pi * (np.arange(len(angles_deg)) / len(angles_deg) + rng.uniform())
    directions = np.stack([np.sin(around), np.cos(around)], axis=1)
    centres = np.array(shape) / 2 + 0.3 * np.array(shape) * directions
    return _specimen(
        angles_deg, centres, shape, pixel_size_nm, thickness_nm, source_fwhm_nm, strain, rng
    )
