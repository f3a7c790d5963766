"""Image to probability: which pixels belong to an atomic column.

A small U-Net has learned from simulated images of many lattices (data/train_segmenter.py). It
knows one scale only, so the distance between neighbouring columns is measured in the image first
and the image is resampled to the distance that the network was trained at.
"""

import warnings
from functools import lru_cache
from itertools import product

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import ndimage
from torch import nn
from torch.nn import functional
from tqdm.auto import tqdm

from .data import fetch
from .device import pick_device
from .images import as_image, neighbour_distance
from .lattice_filter import lattice_part
from .peaks import probability_peaks
from .spacing import find_lattice, local_order, without_outliers

COLUMNS, SPECIES = "segmenter.safetensors", "species.safetensors"
OUTPUTS = {COLUMNS: 1, SPECIES: 2}
INPUTS = 2  # the image, and the part of it that repeats
TRAINED_SPACING_PX = 8.0
SECOND_LOOK = 0.15  # how far off (as a logarithm) the spacing may be
TILE_PX = 640  # side of the square that one pass of the network answers for
MARGIN_PX = 96  # seen around it as well: the network's reach, so that tiles leave no seam
STRIDE_PX = 16  # four halvings
COARSE_PX = 5.5  # nearer columns share too few pixels
FEWEST = 12  # columns that can be told from chance
LEAST_ORDER = 0.4  # lattices in heavy noise have 0.5, a brick wall 0.36, chance 0.15


class UNet(nn.Module):
    """Encoder and decoder of five levels with skips; (B, 2, H, W) to (B, outputs, H, W) logits.

    H and W must be multiples of 16. The normalisation layers use fixed statistics once trained, so
    the answer at a pixel depends on its surroundings only, not on the tile that it lies in.
    """

    def __init__(self, outputs: int = 1, channels: tuple[int, ...] = (16, 32, 64, 128, 128)):
        super().__init__()
        ends = list(zip((INPUTS, *channels[:-1]), channels, strict=True))
        self.down = nn.ModuleList(_two_convolutions(i, o) for i, o in ends)
        self.up = nn.ModuleList(_two_convolutions(i + o, i) for i, o in ends[:0:-1])
        self.out = nn.Conv2d(channels[0], outputs, 1)

    def forward(self, x):  # (B, 2, H, W)
        skips = []
        for level in self.down:
            x = level(functional.avg_pool2d(x, 2) if skips else x)
            skips.append(x)
        skips.pop()
        for level in self.up:
            x = level(torch.cat([functional.interpolate(x, scale_factor=2.0), skips.pop()], 1))
        return self.out(x)


def _two_convolutions(channels_in: int, channels_out: int) -> nn.Sequential:
    layers = []
    for channels in (channels_in, channels_out):
        convolution = nn.Conv2d(channels, channels_out, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]
    return nn.Sequential(*layers)


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
    spacing = _usable_spacing(spacing_px, measured, values.shape)
    maps = np.zeros((OUTPUTS[weights], *values.shape), np.float32)
    if spacing:
        network = load_network(weights, pick_device(device))
        maps = run_network(network, values, spacing, progress)
    if spacing and spacing_px is None:
        seen = _seen_spacing(maps.sum(axis=0), spacing)
        if abs(np.log(seen / spacing)) > SECOND_LOOK:
            again = run_network(network, values, seen, progress)
            if _sureness(again) > _sureness(maps):
                maps, spacing = again, seen
    _warn_if_coarse(spacing)
    if spacing_px is None and not _is_lattice(probability_peaks(maps.sum(axis=0))):
        warnings.warn(
            "no lattice was found in the image, so no column is reported; if you see columns, give "
            "the distance between neighbours: segment(image, spacing_px=...)",
            stacklevel=3,
        )
        return np.zeros_like(maps)
    if contrast < 0 and _sureness(maps) < _sureness(
        run_network(network, -values, spacing, progress)
    ):
        warnings.warn(
            "the columns seem to be dark (as in BF or ABF): invert the image, segment(-image)",
            stacklevel=3,
        )
    return maps


def _is_lattice(found: np.ndarray) -> bool:
    return len(found) >= FEWEST and local_order(found) > LEAST_ORDER


def _seen_spacing(probability: np.ndarray, spacing: float) -> float:
    """What the network itself sees as the distance between neighbours, measured on its map.

    The autocorrelation may have picked another pair of columns, and the network sees more at the
    scale that it was trained at.
    """
    found = probability_peaks(probability)
    if len(found) < FEWEST:
        return spacing
    return float(np.clip(np.median(neighbour_distance(found)), spacing / 2, 2 * spacing))


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


def _warn_if_coarse(spacing: float | None) -> None:
    if spacing and spacing < COARSE_PX:
        warnings.warn(
            f"columns {spacing:.1f} px apart have too few pixels: record at a finer pixel size",
            stacklevel=4,
        )


def _sureness(maps: np.ndarray) -> float:
    """How near to certainty a map is where it sees columns; 0 where it sees none."""
    return np.mean(maps, where=maps > 0.5) if maps.max() > 0.5 else 0.0


def run_network(network: UNet, values, spacing_px: float, progress: bool = False) -> np.ndarray:
    """Probabilities (outputs, H, W) that a network gives an image (H, W) of a known spacing."""
    zoom = TRAINED_SPACING_PX / spacing_px
    size = [max(2, round(n * zoom / STRIDE_PX)) * STRIDE_PX for n in values.shape]
    ready = torch.from_numpy(network_input(resample(values, size)))
    maps = _in_tiles(ready, network, progress)
    return np.stack([np.clip(resample(one, values.shape), 0, 1) for one in maps])


def resample(values: np.ndarray, shape) -> np.ndarray:
    """`values` (H, W) on a grid of another `shape` over the same field; averaged when coarser."""
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))[None, None]
    resized = functional.interpolate(tensor, tuple(shape), mode="bicubic", antialias=True)
    return resized[0, 0].numpy()


def network_input(values: np.ndarray) -> np.ndarray:
    """What the network sees (2, H, W): the normalised image, and what is periodic in it."""
    even = normalise(values)
    return np.stack([even, lattice_part(even)])


def normalise(values: np.ndarray) -> np.ndarray:
    """Slow background off, contrast brought to about one everywhere; at the trained spacing.

    Where the contrast is weaker than in most of the image it is raised less, so that vacuum beside
    a crystal stays darker than it.
    """
    around = 2.4 * TRAINED_SPACING_PX
    low, high = np.percentile(values, [0.02, 99.98])
    values = np.clip(values, low, high) - low
    values = values - ndimage.gaussian_filter(values, around, truncate=3)
    contrast = ndimage.gaussian_filter(values**2, around, truncate=3)
    contrast = np.sqrt((contrast + np.median(contrast)) / 2 + 1e-12 * values.var() + 1e-30)
    return (values / contrast).astype(np.float32)


@torch.inference_mode()
def _in_tiles(image: torch.Tensor, network: UNet, progress: bool) -> np.ndarray:
    """Probabilities (outputs, H, W) of an input (2, H, W) at the trained spacing."""
    device = network.out.weight.device
    maps = np.empty((network.out.out_channels, *image.shape[1:]), np.float32)
    tiles = list(product(*(range(0, n, TILE_PX) for n in image.shape[1:])))
    hide = not progress or len(tiles) < 9
    for row, col in tqdm(tiles, desc="segment", unit="tile", leave=False, disable=hide):
        top, left = max(0, row - MARGIN_PX), max(0, col - MARGIN_PX)
        below, right = row + TILE_PX + MARGIN_PX, col + TILE_PX + MARGIN_PX
        tile = image[None, :, top:below, left:right].to(device)
        answer = torch.sigmoid(network(tile.contiguous(memory_format=torch.channels_last)))
        answer = answer[0, :, row - top :, col - left :][:, :TILE_PX, :TILE_PX].cpu().numpy()
        maps[:, row : row + TILE_PX, col : col + TILE_PX] = answer
    return maps


@lru_cache(maxsize=4)
def load_network(weights: str = COLUMNS, device: str = "cpu") -> UNet:
    """A trained network, ready for use; read once in a process."""
    network = UNet(OUTPUTS[weights])
    network.load_state_dict(load_file(fetch(weights)))
    return network.eval().to(device, memory_format=torch.channels_last)
