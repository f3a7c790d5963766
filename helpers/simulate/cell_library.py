"""The library of a crystal: the multislice image of one projected cell at every thickness.

`make_cells.py` computes it; here it is opened, blurred by the electron source and sampled.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..files.registry import fetch

OVERSAMPLING = 4  # of the stored grid, so that linear interpolation is enough afterwards


@dataclass(frozen=True)
class CellLibrary:
    """Fraction of the beam that reaches the detector, over one cell and many thicknesses.

    Attributes
    ----------
    cell_nm : (2,) float
        Sides of the projected cell along y and z: (a, c) for [100], (a / sqrt 2, c) for [110].
    thickness_nm : (T,) float
    fraction : (T, Y, Z) float32
        Periodic in y and z.
    site_yz : (S, 2) float
        Place of each heavy column in cell fractions.
    species, site : (S,) str
    sign : (S,) int
        +1 where the rock-salt gap lies on the column's +c side, -1 on -c, 0 in mid-block.
    """

    cell_nm: np.ndarray
    thickness_nm: np.ndarray
    fraction: np.ndarray
    site_yz: np.ndarray
    species: np.ndarray
    site: np.ndarray
    sign: np.ndarray

    def sample(self, y_nm: np.ndarray, z_nm: np.ndarray, thickness_nm: np.ndarray) -> np.ndarray:
        """Fraction of the beam at points of the crystal; thinner than the library fades to zero."""
        planes, n_y, n_z = self.fraction.shape
        a_nm, c_nm = self.cell_nm
        step_nm = self.thickness_nm[1] - self.thickness_nm[0]
        depth = np.clip(thickness_nm / step_nm, 0, planes)
        y = np.mod(y_nm / a_nm, 1) * n_y
        z = np.mod(z_nm / c_nm, 1) * n_z
        padded = np.pad(self.fraction, [(1, 0), (0, 0), (0, 0)])  # one more plane, of depth zero
        return ndimage.map_coordinates(padded, [depth, y, z], np.float32, order=1, mode="grid-wrap")


def load_cells(
    name: str = "Sr3Fe2O7_100",
    *,
    source_fwhm_nm: float = 0.08,
    defocus_nm: float = 0.0,
) -> CellLibrary:
    """Open the cell library `name`, blurred by a Gaussian source of the given full width.

    `defocus_nm` picks one image of a focal series; positive is underfocus: the probe is narrowest
    that far below the entrance surface.

    Raises
    ------
    ValueError
        If the library does not hold this defocus.
    """
    path = fetch(f"{name}.npz")
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    defoci_nm = arrays.pop("defocus_nm", np.zeros(1))
    held = np.flatnonzero(np.isclose(defoci_nm, defocus_nm))
    if held.size == 0:
        known = ", ".join(f"{nm:g}" for nm in defoci_nm)
        raise ValueError(f"{name} was not computed for defocus_nm={defocus_nm:g}, but for {known}")
    eighths = arrays.pop("eighth")
    series = eighths.reshape(len(defoci_nm), *eighths.shape[-3:])
    block_shift = arrays.pop("block_shift", 0.5)
    cell = unfold(series[held[0]], float(block_shift))
    fraction = _blur_and_refine(cell, arrays["cell_nm"], source_fwhm_nm)
    return CellLibrary(fraction=fraction, **arrays)


def unfold(eighth: np.ndarray, block_shift: float = 0.5) -> np.ndarray:
    """Fill the whole periodic cell (T, y, z) from its asymmetric eighth [0, a/2] x [0, c/4].

    There are mirrors at y = 0 and z = 0, and (y, z) equals (y + `block_shift`, z + 1/2). With a
    shift of 1/2 this is c2mm ([100]), with none p2mm of half the height ([110]).
    """
    # (y, z) with z in [c/4, c/2] equals (shift - y, c/2 - z): the second block, then both mirrors.
    # On the line z = c/4 that relates points of the eighth itself; their noise is averaged.
    eighth = eighth.copy()
    mirrored = eighth[:, ::-1] if block_shift == 0.5 else eighth
    eighth[:, :, -1] = (eighth[:, :, -1] + mirrored[:, :, -1]) / 2
    quarter = np.concatenate([eighth, mirrored[:, :, -2::-1]], axis=2)
    half = np.concatenate([quarter, quarter[:, :, -2:0:-1]], axis=2)
    return np.concatenate([half, half[:, -2:0:-1]], axis=1)


def _blur_and_refine(fraction: np.ndarray, cell_nm: np.ndarray, fwhm_nm: float) -> np.ndarray:
    """Convolve with the source and refine the grid, both exactly, in Fourier space."""
    grid = fraction.shape[1:]
    frequency = [np.fft.fftfreq(n, side / n) for n, side in zip(grid, cell_nm, strict=True)]
    squared = np.add.outer(frequency[0] ** 2, frequency[1] ** 2)
    sigma_nm = fwhm_nm / np.sqrt(8 * np.log(2))
    source = np.exp(-2 * (np.pi * sigma_nm) ** 2 * squared)
    spectrum = np.fft.fftshift(np.fft.fft2(fraction) * source, axes=(1, 2))
    # High frequencies that the cell does not have, all zero, make the grid finer.
    rim_y, rim_z = ((OVERSAMPLING - 1) * n // 2 for n in grid)
    spectrum = np.pad(spectrum, [(0, 0), (rim_y, rim_y), (rim_z, rim_z)])
    spectrum = np.fft.ifftshift(spectrum, axes=(1, 2))
    refined = np.fft.ifft2(spectrum).real * OVERSAMPLING**2
    return np.clip(refined, 0, None).astype(np.float32)
