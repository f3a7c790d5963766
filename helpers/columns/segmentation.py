"""Image to probability: which pixels belong to an atomic column.

A small U-Net has learned from simulated images of many lattices
(data/recipes/train_segmenter.py). It knows one scale only, so the distance between neighbouring
columns is measured in the image first and the image is resampled to the distance that the network
was trained at.
"""

import warnings

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..device import pick_device
from ..images import as_image, neighbour_distance
from .confidence import COLUMNS
from .peaks import probability_peaks, values_at
from .spacing import find_lattice, local_order, without_outliers
from .unet import UNet, load_network, run_network

SPECIES = "species.safetensors"
OTHER_SCALE = 0.15  # how far off (as a logarithm) the spacing may be
FURTHER_LOOKS = 2
COARSE_PX = 5.5  # nearer columns share too few pixels
FEWEST = 12  # columns that can be told from chance
# Of a lattice; photographs have 0.3 or 0.7 at most.
LEAST_ORDER = 0.4
LEAST_MEAN = 0.77
MOST_SATURATED = 0.25  # share of white pixels in an image that was counted and not drawn
LEAST_DIP = 0.15  # from a column to half-way to the next, over the columns' height: not on a line
SEARCHED_PX = (5.5, 8, 12, 18, 27, 40)  # where the spectrum shows no reflections
SEARCH_IN_PX = 384  # in the middle of the image
SURELY = {"fewest": 40, "order": 0.6, "mean": 0.85}  # asked of what is found so


def segment(
    image,
    *,
    spacing_px: float | None = None,
    device: str = "auto",
    progress: bool = True,
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
    image,
    *,
    spacing_px: float | None = None,
    device: str = "auto",
    progress: bool = True,
) -> np.ndarray:
    """Probabilities (2, H, W) that each pixel belongs to a heavy and to a light column.

    Heavy are the brighter columns of a lattice with two kinds, and all columns of one with a
    single kind. Parameters, warnings and errors are those of `segment`.
    """
    return _segment(image, SPECIES, spacing_px, device, progress)


def probability_of(image: np.ndarray, spacing_px: float) -> np.ndarray:
    """What `segment` gives an image (H, W) of a known spacing, without looking for a lattice."""
    network = load_network(COLUMNS, pick_device("auto"))
    values = without_outliers(image)
    return run_network(network, values, spacing_px)[0]


def _segment(image, weights: str, spacing_px, device, progress) -> np.ndarray:
    values = without_outliers(as_image(image))
    measured, contrast = find_lattice(values)
    network = load_network(weights, pick_device(device))
    if measured is None and spacing_px is None:
        measured = _search_spacing(network, values)
    spacing = _usable_spacing(spacing_px, measured, values.shape)
    if spacing is not None:
        view = _look(network, values, spacing, progress, again=spacing_px is None)
        if view.spacing_px < COARSE_PX:
            message = (
                f"columns {view.spacing_px:.1f} px apart have too few pixels: "
                f"record at a finer pixel size"
            )
            warnings.warn(message, stacklevel=3)
    if spacing_px is None and (spacing is None or not view.shows_lattice(values)):
        message = (
            "no lattice was found, so no column is reported; "
            "if you see columns, give their distance: segment(image, spacing_px=...)"
        )
        warnings.warn(message, stacklevel=3)
        return np.zeros((network.out.out_channels, *values.shape), np.float32)
    if contrast < 0 and _View(network, -values, view.spacing_px).right > 0.8 * view.right:
        warnings.warn("the columns seem to be dark (BF or ABF?): segment(-image)", stacklevel=3)
    return view.maps


class _View:
    """What a network sees in an image when it is told a spacing.

    Attributes: its `maps` (outputs, H, W), the columns `found` (N, 2), and how many more of them
    are expected to be `right` than wrong.
    """

    def __init__(self, network: UNet, values: np.ndarray, spacing_px: float, progress=False):
        self.spacing_px = float(spacing_px)
        self.maps = run_network(network, values, spacing_px, progress)
        if len(self.maps) > 1:
            total = np.minimum(self.maps.sum(axis=0), 1)
        else:
            total = self.maps[0]
        self.found = probability_peaks(total)
        right_less_wrong = 2 * values_at(total, self.found) - 1
        self.right = float(right_less_wrong.sum())

    def shows_lattice(
        self,
        values,
        *,
        fewest=FEWEST,
        order=LEAST_ORDER,
        mean=LEAST_MEAN,
    ) -> bool:
        """Whether columns were seen that are many, in order, likely, and darker half-way between.

        A drawing, in which many pixels are simply white, is none.
        """
        saturated_share = np.mean(values == values.max())
        if saturated_share > MOST_SATURATED:
            return False
        if len(self.found) < fewest or local_order(self.found) < order:
            return False
        mean_probability = (self.right / len(self.found) + 1) / 2
        return self._dip(values) > LEAST_DIP and mean_probability > mean

    def _dip(self, values) -> float:
        """How much darker it is half-way to the next column, over the columns' height."""
        distance, nearest = cKDTree(self.found).query(self.found, k=2)
        spacing_px = np.median(distance[:, 1])
        smooth = ndimage.gaussian_filter(values, 0.1 * spacing_px)
        half_way = (self.found + self.found[nearest[:, 1]]) / 2
        at = values_at(smooth, self.found).mean()
        between = values_at(smooth, half_way).mean()
        return (at - between) / max(at - smooth.mean(), 1e-30)


def _look(network: UNet, values, spacing: float, progress: bool, *, again: bool) -> _View:
    """See the image, and see it `again` if the network itself sees another spacing.

    The autocorrelation may have picked another pair of columns. What the network sees as the
    distance between neighbours is then a better scale, as long as it sees more there.
    """
    view = _View(network, values, spacing, progress)
    further_looks = FURTHER_LOOKS if again else 0
    for _ in range(further_looks):
        if len(view.found) < FEWEST:
            break
        seen_px = np.median(neighbour_distance(view.found))
        off = np.log(seen_px / view.spacing_px)
        if abs(off) < OTHER_SCALE:
            break
        other = _View(network, values, seen_px, progress)
        if other.right <= view.right:
            break
        view = other
    return view


def _search_spacing(network: UNet, values: np.ndarray) -> float | None:
    """The scale at which the network is sure to see a lattice too faint for its spectrum."""
    top, left = (max(0, (n - SEARCH_IN_PX) // 2) for n in values.shape)
    middle = values[top : top + SEARCH_IN_PX, left : left + SEARCH_IN_PX]
    views = [_View(network, middle, px) for px in SEARCHED_PX if 6 * px <= min(middle.shape)]
    best = max(views, key=lambda view: view.right, default=None)
    if best is not None and best.shows_lattice(middle, **SURELY):
        return best.spacing_px
    return None


def _usable_spacing(given: float | None, measured: float | None, shape) -> float | None:
    spacing = measured if given is None else given
    if spacing is None:
        return None
    if not 2 <= spacing <= max(shape):
        message = (
            f"spacing_px={spacing:g} does not fit an image of shape {shape}: "
            f"the distance between neighbouring columns is 2 px to the image's side"
        )
        raise ValueError(message)
    if measured is None:
        warnings.warn(f"no lattice found: spacing_px={spacing:g} is taken on trust", stacklevel=4)
    return spacing
