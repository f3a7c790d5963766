"""Image to probability: which pixels belong to an atomic column.

A small U-Net has learned from simulated images of many lattices (data/train_segmenter.py). It
knows one scale only, so the distance between neighbouring columns is measured in the image first
and the image is resampled to the distance that the network was trained at.
"""

import warnings

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from .device import pick_device
from .images import as_image, neighbour_distance
from .peaks import probability_peaks
from .spacing import find_lattice, local_order, without_outliers
from .unet import UNet, load_network, run_network

COLUMNS, SPECIES = "segmenter.safetensors", "species.safetensors"
OTHER_SCALE = 0.15  # how far off (as a logarithm) the spacing may be
FURTHER_LOOKS = 2
COARSE_PX = 5.5  # nearer columns share too few pixels
FEWEST = 12  # columns that can be told from chance
LEAST_ORDER, LEAST_MEAN = 0.4, 0.77  # of a lattice; photographs have 0.3 or 0.7 at most
MOST_SATURATED = 0.25  # share of white pixels in an image that was counted and not drawn
LEAST_DIP = 0.15  # from a column to half-way to the next, over the columns' height: not on a line
SEARCHED_PX = (5.5, 8, 12, 18, 27, 40)  # where the spectrum shows no reflections
SEARCH_IN_PX = 384  # in the middle of the image
SURELY = {"fewest": 40, "order": 0.6, "mean": 0.85}  # asked of what is found so


def segment(
    image, *, spacing_px: float | None = None, device: str = "auto", progress: bool = True
) -> np.ndarray:
    """Probability (H, W) float32 that each pixel belongs to an atomic column.

    A pixel belongs to a column if it lies within a quarter of the distance between neighbours of
    its centre.

    Parameters
    ----------
    image : (H, W) array or hyperspy Signal2D
        Bright columns on a darker ground (ADF). Gain and offset do not matter.
    spacing_px : float, optional
        Distance between nearest columns in pixels, of any kind; measured when not given.
    device : {"auto", "cpu", "cuda"}
        "auto" takes a GPU when there is one, else the CPU.
    progress : bool
        Show a bar over the tiles of a large image.

    Warns
    -----
    UserWarning
        When the image shows no lattice (the map is then zero everywhere, unless `spacing_px` was
        given), when it is sampled too coarsely, or when its columns seem to be dark.

    Raises
    ------
    ValueError
        If the image cannot be used (see `helpers.images.as_image`) or `spacing_px` is unusable.
    """
    return _segment(image, COLUMNS, spacing_px, device, progress)[0]


def segment_species(
    image, *, spacing_px: float | None = None, device: str = "auto", progress: bool = True
) -> np.ndarray:
    """Probabilities (2, H, W) that each pixel belongs to a heavy and to a light column.

    Heavy are the brighter columns of a lattice with two kinds, and all columns of one with a
    single kind. Parameters, warnings and errors are those of `segment`.
    """
    return _segment(image, SPECIES, spacing_px, device, progress)


def _segment(image, weights: str, spacing_px, device, progress) -> np.ndarray:
    values = without_outliers(as_image(image))
    measured, contrast = find_lattice(values)
    network = load_network(weights, pick_device(device))
    if measured is None and spacing_px is None:
        measured = _search_spacing(network, values)
    spacing = _usable_spacing(spacing_px, measured, values.shape)
    maps = np.zeros((network.out.out_channels, *values.shape), np.float32)
    if spacing:
        maps, spacing = _look(network, values, spacing, progress, again=spacing_px is None)
    if spacing and spacing < COARSE_PX:
        warnings.warn(
            f"columns {spacing:.1f} px apart have too few pixels: record at a finer pixel size",
            stacklevel=3,
        )
    if spacing_px is None and not _is_lattice(maps, values):
        warnings.warn(
            "no lattice was found in the image, so no column is reported; if you see columns, give "
            "the distance between neighbours: segment(image, spacing_px=...)",
            stacklevel=3,
        )
        return np.zeros_like(maps)
    if contrast < 0:
        inverted = run_network(network, -values, spacing, progress)
        if _columns_seen(inverted) > 0.8 * _columns_seen(maps):
            warnings.warn(
                "the columns seem to be dark (as in BF or ABF): invert the image, segment(-image)",
                stacklevel=3,
            )
    return maps


def _look(network: UNet, values, spacing: float, progress: bool, *, again: bool):
    """Maps, and the spacing that they were made with.

    The autocorrelation may have picked another pair of columns. What the network itself sees as
    the distance between neighbours is then a better scale to look `again` at, as long as it sees
    more there.
    """
    maps = run_network(network, values, spacing, progress)
    for _ in range(FURTHER_LOOKS if again else 0):
        found = probability_peaks(maps.sum(axis=0))
        seen = spacing if len(found) < FEWEST else np.median(neighbour_distance(found))
        if abs(np.log(seen / spacing)) < OTHER_SCALE:
            break
        other = run_network(network, values, seen, progress)
        if _columns_seen(other) <= _columns_seen(maps):
            break
        maps, spacing = other, float(seen)
    return maps, spacing


def _columns_seen(maps: np.ndarray) -> float:
    """How many more columns of a map are expected to be right than wrong."""
    total = maps.sum(axis=0)
    at = np.rint(probability_peaks(total)).astype(int)
    return float((2 * np.minimum(total[tuple(at.T)], 1) - 1).sum())


def _search_spacing(network: UNet, values: np.ndarray) -> float | None:
    """The scale at which the network is sure to see a lattice too faint for its spectrum."""
    start = [max(0, (n - SEARCH_IN_PX) // 2) for n in values.shape]
    middle = values[tuple(slice(n, n + SEARCH_IN_PX) for n in start)]
    scales = [scale for scale in SEARCHED_PX if 6 * scale <= min(middle.shape)]
    maps = {scale: run_network(network, middle, scale) for scale in scales}
    best = max(scales, key=lambda scale: _columns_seen(maps[scale]), default=None)
    return best if best and _is_lattice(maps[best], middle, **SURELY) else None


def _is_lattice(maps, values, *, fewest=FEWEST, order=LEAST_ORDER, mean=LEAST_MEAN) -> bool:
    """Whether columns were seen that are many, in order, likely, and darker half-way between."""
    found = probability_peaks(maps.sum(axis=0))
    drawn = np.mean(values == values.max()) > MOST_SATURATED
    if drawn or len(found) < fewest or local_order(found) < order:
        return False
    distance, nearest = cKDTree(found).query(found, k=2)
    smooth = ndimage.gaussian_filter(values, 0.1 * np.median(distance[:, 1]))
    half_way = (found + found[nearest[:, 1]]) / 2
    at, between = (smooth[tuple(np.rint(p).astype(int).T)].mean() for p in (found, half_way))
    dip = (at - between) / max(at - smooth.mean(), 1e-30)
    return dip > LEAST_DIP and (_columns_seen(maps) / len(found) + 1) / 2 > mean


def _usable_spacing(given: float | None, measured: float | None, shape) -> float | None:
    spacing = measured if given is None else given
    if spacing is None:
        return None
    if not 2 <= spacing <= max(shape):
        raise ValueError(
            f"spacing_px={spacing:g} does not fit an image of shape {shape}: give the distance "
            "between neighbouring columns, at least 2 px and at most the image's side"
        )
    if measured is None:
        warnings.warn(f"no lattice found: spacing_px={spacing:g} is taken on trust", stacklevel=4)
    return spacing
