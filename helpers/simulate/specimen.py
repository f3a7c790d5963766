"""Specimens: crystals or grains, with a wedge, slow strain, a stacking fault and odd columns.

The image at a point r is ``library[thickness(r)](crystal coordinates of r)``, so every field of
view costs one look-up a pixel and the truth of each column is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .cells import CellLibrary, load_cells
from .truth import Truth

MARGIN_PX = 40  # columns are followed this far outside the field: drift brings them in
ODD_RADIUS_NM = 0.08


@dataclass(frozen=True)
class SlowField:
    """A smooth random vector field: a few plane waves longer than a third of the image."""

    wave: np.ndarray  # (n, 2) radians per pixel
    phase: np.ndarray  # (n, 2)
    amplitude_px: np.ndarray  # (n, 2)

    @classmethod
    def random(cls, shape: tuple[int, int], strain: float, rng: np.random.Generator) -> SlowField:
        """Waves whose gradient has the given rms (0.003: strains of 0.3 %)."""
        wave = rng.uniform(-1, 1, (3, 2)) * 2 * np.pi * 1.5 / np.array(shape)
        slope = strain * rng.normal(size=(3, 2)) / np.sqrt(3)
        amplitude = slope / np.maximum(np.linalg.norm(wave, axis=1, keepdims=True), 1e-4)
        return cls(wave, rng.uniform(0, 2 * np.pi, (3, 2)), np.clip(amplitude, -8, 8))

    def __call__(self, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Displacement (row, col) in pixels at points of the specimen."""
        total = [np.zeros(np.shape(row)), np.zeros(np.shape(row))]
        for wave, phase, amplitude in zip(self.wave, self.phase, self.amplitude_px, strict=True):
            argument = wave[0] * row + wave[1] * col
            for axis in (0, 1):
                total[axis] = total[axis] + amplitude[axis] * np.sin(argument + phase[axis])
        return total[0], total[1]

    def rotation(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Local turn of the lattice in radians, counter-clockwise as displayed."""
        step = 0.5
        col_up = self(row + step, col)[1] - self(row - step, col)[1]
        row_up = self(row, col + step)[0] - self(row, col - step)[0]
        return (col_up - row_up) / (4 * step)


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
    fault_nm : float or None
        Height (along c, from the grain's centre) of the Fe plane where an extra perovskite layer
        is inserted, which makes one n = 3 block.
    odd : tuple of (row, col, factor)
        Columns whose intensity is multiplied.
    """

    library: CellLibrary
    shape: tuple[int, int]
    pixel_size_nm: float
    angles_rad: np.ndarray
    centres_px: np.ndarray
    thickness_nm: tuple[float, float]
    wedge_rad: float
    warp: SlowField
    fault_nm: float | None = None
    odd: tuple[tuple[float, float, float], ...] = field(default=())

    def thickness(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Thickness in nm at points of the specimen (a plane wedge)."""
        height, width = self.shape
        across = (col - width / 2) * np.cos(self.wedge_rad) - (row - height / 2) * np.sin(
            self.wedge_rad
        )
        reach = (width * abs(np.cos(self.wedge_rad)) + height * abs(np.sin(self.wedge_rad))) / 2
        low, high = self.thickness_nm
        return low + (high - low) * (across / reach + 1) / 2

    def grain_of(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Index of the grain at each point."""
        squared = [(row - r) ** 2 + (col - c) ** 2 for r, c in self.centres_px]
        return np.argmin(squared, axis=0)

    def fraction(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Fraction of the beam on the detector with the probe at points (row, col), float32."""
        shift_row, shift_col = self.warp(row, col)
        grain = self.grain_of(row, col)
        centre = self.centres_px[grain]
        d_row, d_col = row - shift_row - centre[..., 0], col - shift_col - centre[..., 1]
        cos, sin = np.cos(self.angles_rad)[grain], np.sin(self.angles_rad)[grain]
        z_nm = (cos * d_col - sin * d_row) * self.pixel_size_nm
        y_nm = (-sin * d_col - cos * d_row) * self.pixel_size_nm
        if self.fault_nm is not None:
            z_nm = np.where(z_nm > self.fault_nm, z_nm - self.extra_layer_nm, z_nm)
        image = self.library.sample(y_nm, z_nm, self.thickness(row, col))
        return self._change_odd(image, row, col)

    def _change_odd(self, image: np.ndarray, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        sigma_px = ODD_RADIUS_NM / self.pixel_size_nm
        for odd_row, odd_col, factor in self.odd:
            squared = (row - odd_row) ** 2 + (col - odd_col) ** 2
            image = image * (1 + (factor - 1) * np.exp(-squared / (2 * sigma_px**2)))
        return image.astype(np.float32)

    @property
    def extra_layer_nm(self) -> float:
        """Height of one perovskite layer: the distance of the two Fe planes of a block."""
        iron = self.library.site_yz[self.library.site == "Fe", 1]
        return 2 * float(iron.min()) * float(self.library.cell_nm[1])

    def columns(self) -> Truth:
        """Every heavy column in and just outside the field, as one frame without scan faults."""
        grains = [self._grain_columns(g) for g in range(len(self.angles_rad))]
        return Truth(
            *(
                np.concatenate(parts, axis=-2 if n == 0 else 0)
                for n, parts in enumerate(zip(*grains, strict=True))
            )
        )

    def _grain_columns(self, grain: int) -> tuple[np.ndarray, ...]:
        y_nm, z_nm, kind, in_fault, sign = self._lattice_points()
        cos, sin = np.cos(self.angles_rad[grain]), np.sin(self.angles_rad[grain])
        rest_row = self.centres_px[grain, 0] - (sin * z_nm + cos * y_nm) / self.pixel_size_nm
        rest_col = self.centres_px[grain, 1] + (cos * z_nm - sin * y_nm) / self.pixel_size_nm
        row, col = rest_row, rest_col
        for _ in range(6):  # r = rest + warp(r), a contraction since the strain is small
            shift_row, shift_col = self.warp(row, col)
            row, col = rest_row + shift_row, rest_col + shift_col
        inside = (np.abs(row - self.shape[0] / 2) < self.shape[0] / 2 + MARGIN_PX) & (
            np.abs(col - self.shape[1] / 2) < self.shape[1] / 2 + MARGIN_PX
        )
        keep = inside & (self.grain_of(row, col) == grain)
        row, col, kind = row[keep], col[keep], kind[keep]
        return (
            np.stack([row, col], axis=1)[None],
            self.library.species[kind],
            self.library.site[kind],
            sign[keep],
            self.angles_rad[grain] + self.warp.rotation(row, col),
            self.thickness(row, col),
            in_fault[keep],
            np.isin(np.round(row, 3), np.round([o[0] for o in self.odd], 3)),
            self._distance_to_boundary(row, col, grain),
        )

    def _lattice_points(self) -> tuple[np.ndarray, ...]:
        """(y, z) in nm of all columns of an endless crystal that a grain may need."""
        side_y, side_z = self.library.cell_nm
        reach = 1.5 * (max(self.shape) + MARGIN_PX) * self.pixel_size_nm
        i, j = (
            np.arange(-int(reach / side_y), int(reach / side_y)),
            np.arange(-int(reach / side_z), int(reach / side_z)),
        )
        n = len(self.library.site)
        cells = np.stack(np.meshgrid(i, j, indexing="ij"), -1).reshape(-1, 1, 2)
        yz = ((cells + self.library.site_yz) * self.library.cell_nm).reshape(-1, 2)
        kind = np.tile(np.arange(n), len(cells))
        y, z, sign = yz[:, 0], yz[:, 1], self.library.sign[kind]
        if self.fault_nm is None:
            return y, z, kind, np.zeros(len(y), bool), sign
        extra, eps = self.extra_layer_nm, 1e-6
        below, above = z <= self.fault_nm + eps, z > self.fault_nm - extra + eps
        y, kind = np.concatenate([y[below], y[above]]), np.concatenate([kind[below], kind[above]])
        z = np.concatenate([z[below], z[above] + extra])
        # The inserted block: from the rock-salt gap below the Fe plane to the one above.
        middle = self.fault_nm
        in_fault = np.abs(z - middle) < side_z / 4 + extra / 2 - 1e-3
        sign = self.library.sign[kind].copy()
        sign[np.abs(z - middle) < 1e-3] = 0
        return y, z, kind, in_fault, sign

    def _distance_to_boundary(self, row, col, grain: int) -> np.ndarray:
        """Distance in px to the nearest grain boundary, infinite in a single crystal."""
        nearest = np.full(len(row), np.inf)
        own = self.centres_px[grain]
        for other in np.delete(self.centres_px, grain, axis=0):
            normal, middle = other - own, (other + own) / 2
            along = (middle[0] - row) * normal[0] + (middle[1] - col) * normal[1]
            nearest = np.minimum(nearest, along / np.linalg.norm(normal))
        return nearest


def single_crystal(
    *,
    shape: tuple[int, int] = (1024, 1024),
    pixel_size_nm: float = 0.02,
    angle_deg: float = 12.0,
    thickness_nm: tuple[float, float] = (8.0, 31.0),
    source_fwhm_nm: float = 0.08,
    strain: float = 0.002,
    fault: bool = False,
    n_odd: int = 0,
    seed: int = 0,
) -> Specimen:
    """A Sr3Fe2O7 crystal seen along [100], with a wedge; optionally one fault and odd columns."""
    rng = np.random.default_rng(seed)
    library = load_cells(source_fwhm_nm=source_fwhm_nm)
    centre = np.array(shape) / 2 + rng.uniform(-20, 20, 2)
    iron = float(library.site_yz[library.site == "Fe", 1].min() * library.cell_nm[1])
    blocks = 3 * float(library.cell_nm[1]) / 2  # the fault lies three blocks off the centre
    plain = Specimen(
        library=library,
        shape=shape,
        pixel_size_nm=pixel_size_nm,
        angles_rad=np.array([np.deg2rad(angle_deg)]),
        centres_px=centre[None],
        thickness_nm=thickness_nm,
        wedge_rad=rng.uniform(-np.pi, np.pi),
        warp=SlowField.random(shape, strain, rng),
        fault_nm=blocks + iron if fault else None,
    )
    return _with_odd_columns(plain, n_odd, rng) if n_odd else plain


def _with_odd_columns(specimen: Specimen, n_odd: int, rng: np.random.Generator) -> Specimen:
    """Make `n_odd` columns of the field brighter or darker by 35 to 60 %."""
    places = specimen.columns().positions[0]
    inside = np.all((places > 60) & (places < np.array(specimen.shape) - 60), axis=1)
    chosen = places[rng.choice(np.flatnonzero(inside), n_odd, replace=False)]
    factor = 1 + rng.choice([-1, 1], n_odd) * rng.uniform(0.35, 0.6, n_odd)
    odd = tuple((float(r), float(c), float(f)) for (r, c), f in zip(chosen, factor, strict=True))
    return Specimen(**{**specimen.__dict__, "odd": odd})


def polycrystal(
    *,
    shape: tuple[int, int] = (1024, 1024),
    pixel_size_nm: float = 0.02,
    angles_deg: tuple[float, ...] = (0.0, 31.0, 74.0),
    thickness_nm: tuple[float, float] = (12.0, 18.0),
    source_fwhm_nm: float = 0.085,
    strain: float = 0.001,
    seed: int = 0,
) -> Specimen:
    """Grains of Sr3Fe2O7 [100], each turned by its own angle, around the middle of the field."""
    rng = np.random.default_rng(seed)
    around = 2 * np.pi * (np.arange(len(angles_deg)) / len(angles_deg) + rng.uniform())
    centres = np.array(shape) / 2 + 0.3 * np.array(shape) * np.stack(
        [np.sin(around), np.cos(around)], axis=1
    )
    return Specimen(
        library=load_cells(source_fwhm_nm=source_fwhm_nm),
        shape=shape,
        pixel_size_nm=pixel_size_nm,
        angles_rad=np.deg2rad(angles_deg),
        centres_px=centres,
        thickness_nm=thickness_nm,
        wedge_rad=rng.uniform(-np.pi, np.pi),
        warp=SlowField.random(shape, strain, rng),
    )
