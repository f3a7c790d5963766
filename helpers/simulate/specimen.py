"""Specimens of Sr3Fe2O7: one crystal or grains, with a wedge, slow strain, a fault, odd columns.

The image at a point r is ``library[thickness(r)](crystal coordinates of r)``, so every field of
view costs one look-up a pixel and the truth of each column is known.

Places are complex pixels, x to the right and i y upwards: in this form a turn is a multiplication.
Row and column make the place ``column - 1j * row``.
"""

from dataclasses import dataclass, replace

import numpy as np

from .cell_library import CellLibrary, load_cells
from .truth import Truth

MARGIN_PX = 40  # columns are followed this far outside the field: drift brings them in
ODD_RADIUS_NM = 0.08
SAME_NM = 1e-6  # heights that differ by less are the same


@dataclass(frozen=True)
class SlowField:
    """A smooth random displacement: a few plane waves longer than a third of the image."""

    wave: np.ndarray  # (n, 2) radians per pixel along rows and columns
    phase: np.ndarray  # (n, 2)
    amplitude_px: np.ndarray  # (n, 2)

    @classmethod
    def random(cls, shape: tuple[int, int], strain: float, rng: np.random.Generator) -> "SlowField":
        """Waves whose gradient has the given rms (0.003: strains of 0.3 %)."""
        wave = rng.uniform(-1, 1, (3, 2)) * 2 * np.pi * 1.5 / np.array(shape)
        slope = strain * rng.normal(size=(3, 2)) / np.sqrt(3)
        steepness = np.linalg.norm(wave, axis=1, keepdims=True)
        amplitude_px = slope / np.maximum(steepness, 1e-4)
        phase = rng.uniform(0, 2 * np.pi, (3, 2))
        return cls(wave, phase, np.clip(amplitude_px, -8, 8))

    def __call__(self, place: np.ndarray) -> np.ndarray:
        """Displacement in complex pixels at places of the specimen."""
        total = 0
        for wave, phase, size in zip(self.wave, self.phase, self.amplitude_px, strict=True):
            swing = wave[1] * place.real - wave[0] * place.imag
            down = size[0] * np.sin(swing + phase[0])
            right = size[1] * np.sin(swing + phase[1])
            total = total + right - 1j * down
        return total

    def rotation(self, place: np.ndarray) -> np.ndarray:
        """Local turn of the lattice in radians, counter-clockwise as displayed."""
        along_row = self(place + 0.5) - self(place - 0.5)
        along_col = self(place - 0.5j) - self(place + 0.5j)
        return (along_row.imag + along_col.real) / 2


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
    centres : (G,) complex
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
    centres: np.ndarray
    thickness_nm: tuple[float, float]
    wedge_rad: float
    warp: SlowField
    fault_nm: float = np.inf
    odd: np.ndarray | tuple = ()

    def __post_init__(self):
        thickest = self.library.thickness_nm[-1]
        if max(self.thickness_nm) > thickest + 1e-6:
            raise ValueError(f"thickness_nm={self.thickness_nm}: the cells end at {thickest:.1f}")

    def thickness(self, place: np.ndarray) -> np.ndarray:
        """Thickness in nm at places of the specimen (a plane wedge)."""
        height, width = self.shape
        cos = np.cos(self.wedge_rad)
        sin = np.sin(self.wedge_rad)
        across = (place.real - width / 2) * cos + (place.imag + height / 2) * sin
        reach = (width * abs(cos) + height * abs(sin)) / 2
        low, high = self.thickness_nm
        return low + (high - low) * (across / reach + 1) / 2

    def grain_of(self, place: np.ndarray) -> np.ndarray:
        """Index of the grain at each place."""
        distances_px = [abs(place - centre) for centre in self.centres]
        return np.argmin(distances_px, axis=0)

    def fraction(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Fraction of the beam on the detector with the probe at points (row, col), float32."""
        place = col - 1j * row
        grain = self.grain_of(place)
        from_centre = place - self.warp(place) - self.centres[grain]
        crystal_nm = from_centre * np.exp(-1j * self.angles_rad)[grain] * self.pixel_size_nm
        z_nm = crystal_nm.real - self.extra_layer_nm * (crystal_nm.real > self.fault_nm)
        image = self.library.sample(crystal_nm.imag, z_nm, self.thickness(place))
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
        crystal_nm, kind, in_fault, sign = self._lattice_points()
        place = self._placed(crystal_nm)  # (G, points)
        positions = np.stack([-place.imag, place.real], axis=-1)
        near = (-MARGIN_PX < positions) & (positions < np.array(self.shape) + MARGIN_PX)
        own = self.grain_of(place) == np.arange(len(self.centres))[:, None]
        grain, point = np.nonzero(near.all(axis=-1) & own)
        place = place[grain, point]
        positions = positions[grain, point]
        odd_rows = [row for row, *_ in self.odd]
        return Truth(
            positions=positions[None],
            species=self.library.species[kind[point]],
            site=self.library.site[kind[point]],
            sign=sign[point],
            angle_rad=self.angles_rad[grain] + self.warp.rotation(place),
            thickness_nm=self.thickness(place),
            in_fault=in_fault[point],
            odd=np.isin(np.round(positions[:, 0], 3), np.round(odd_rows, 3)),
            boundary_px=self._distance_to_boundary(place, grain),
        )

    def _placed(self, crystal_nm: np.ndarray) -> np.ndarray:
        """Places (G, points) in complex pixels of points of the crystal, in each of the grains."""
        turns = np.exp(1j * self.angles_rad) / self.pixel_size_nm
        rest = self.centres[:, None] + crystal_nm * turns[:, None]
        place = rest
        for _ in range(6):  # place = rest + warp(place), a contraction since the strain is small
            place = rest + self.warp(place)
        return place

    def _lattice_points(self) -> tuple[np.ndarray, ...]:
        """Places z + i y in nm of all columns of an endless crystal that a grain may need."""
        reach_nm = 1.5 * (max(self.shape) + MARGIN_PX) * self.pixel_size_nm
        n_y, n_z = (reach_nm / self.library.cell_nm).astype(int)
        cells = np.mgrid[-n_y:n_y, -n_z:n_z].reshape(2, 1, -1)
        places_nm = (cells.T + self.library.site_yz) * self.library.cell_nm
        y, z = places_nm.reshape(-1, 2).T
        # Up to the Fe plane of the fault the crystal as it is, and from there on once more,
        # moved by the extra layer.
        extra_nm = self.extra_layer_nm
        as_it_is = z <= self.fault_nm + SAME_NM
        once_more = z > self.fault_nm - extra_nm + SAME_NM
        moved, point = np.nonzero([as_it_is, once_more])
        z = z[point] + extra_nm * moved
        kind = point % len(self.library.site)
        # The inserted block: from the rock-salt gap below the Fe plane to the one above.
        from_middle = np.abs(z - self.fault_nm)
        in_fault = from_middle < self.library.cell_nm[1] / 4 + extra_nm / 2 - 1e-3
        sign = np.where(from_middle < 1e-3, 0, self.library.sign[kind])
        return z + 1j * y[point], kind, in_fault, sign

    def _distance_to_boundary(self, place: np.ndarray, grain: np.ndarray) -> np.ndarray:
        """Distance in px to the nearest grain boundary, infinite in a single crystal."""
        others = np.array([np.delete(self.centres, g) for g in range(len(self.centres))])
        own = self.centres[grain]  # (N,)
        others = others[grain].T  # (G - 1, N)
        normal = (others - own) / abs(others - own)
        from_middle = (own + others) / 2 - place
        distance_px = (from_middle * normal.conj()).real
        return distance_px.min(axis=0, initial=np.inf)


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
    cells: str = "Sr3Fe2O7_100",
    defocus_nm: float = 0.0,
) -> Specimen:
    """A Sr3Fe2O7 crystal with a wedge; optionally one fault and odd columns.

    `cells` names the library: "Sr3Fe2O7_100" or "Sr3Fe2O7_110" for the crystal seen along [100] or
    [110], "Sr3Fe2O7_100_focal" for a series in `defocus_nm`, up to half the thickness.
    """
    rng = np.random.default_rng(seed)
    row, col = np.array(shape) / 2 + rng.uniform(-20, 20, 2)
    centres = np.array([col - 1j * row])
    angles_rad = np.deg2rad([angle_deg])
    wedge_rad = rng.uniform(-np.pi, np.pi)
    warp = SlowField.random(shape, strain, rng)
    library = load_cells(cells, source_fwhm_nm=source_fwhm_nm, defocus_nm=defocus_nm)
    specimen = Specimen(
        library, shape, pixel_size_nm, angles_rad, centres, thickness_nm, wedge_rad, warp
    )
    if fault:
        specimen = _with_fault(specimen)
    if n_odd:
        specimen = _with_odd_columns(specimen, n_odd, rng)
    return specimen


def _with_fault(specimen: Specimen) -> Specimen:
    """Insert a layer three blocks off the centre, where a block has its upper Fe plane."""
    blocks_nm = 3 * specimen.library.cell_nm[1] / 2
    return replace(specimen, fault_nm=blocks_nm + specimen.extra_layer_nm / 2)


def _with_odd_columns(specimen: Specimen, n_odd: int, rng: np.random.Generator) -> Specimen:
    """Make `n_odd` columns of the field brighter or darker by 35 to 60 %."""
    places = specimen.columns().positions[0]
    inside = np.all((places > 60) & (places < np.array(specimen.shape) - 60), axis=1)
    chosen = rng.choice(np.flatnonzero(inside), n_odd, replace=False)
    direction = rng.choice([-1, 1], n_odd)
    factor = 1 + direction * rng.uniform(0.35, 0.6, n_odd)
    odd = np.column_stack([places[chosen], factor])
    return replace(specimen, odd=odd)


def polycrystal(
    *,
    shape: tuple[int, int] = (1024, 1024),
    pixel_size_nm: float = 0.02,
    angles_deg: tuple[float, ...] = (0.0, 31.0, 74.0),
    source_fwhm_nm: float = 0.085,
    thickness_nm: tuple[float, float] = (12.0, 18.0),
    strain: float = 0.001,
    seed: int = 0,
) -> Specimen:
    """Grains of Sr3Fe2O7 [100], each turned by its own angle, around the middle of the field."""
    rng = np.random.default_rng(seed)
    height, width = shape
    n_grains = len(angles_deg)
    around_rad = 2 * np.pi * (np.arange(n_grains) / n_grains + rng.uniform())
    row = height / 2 + 0.3 * height * np.sin(around_rad)
    col = width / 2 + 0.3 * width * np.cos(around_rad)
    centres = col - 1j * row
    angles_rad = np.deg2rad(angles_deg)
    wedge_rad = rng.uniform(-np.pi, np.pi)
    warp = SlowField.random(shape, strain, rng)
    library = load_cells(source_fwhm_nm=source_fwhm_nm)
    return Specimen(
        library, shape, pixel_size_nm, angles_rad, centres, thickness_nm, wedge_rad, warp
    )
