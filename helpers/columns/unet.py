"""The network that finds columns: what it is, what it is shown, and how large images pass it."""

from functools import lru_cache
from itertools import product

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import ndimage
from torch import nn
from torch.nn import functional
from tqdm.auto import tqdm

from ..files.registry import fetch
from .lattice_filter import lattice_part

INPUTS = 2  # the image, and the part of it that repeats
TRAINED_SPACING_PX = 8.0
TILE_PX = 448  # side of the square that one pass of the network answers for
MARGIN_PX = 96  # seen around it as well: the network's reach, so that tiles leave no seam
STRIDE_PX = 16  # four halvings


class UNet(nn.Module):
    """Encoder and decoder of five levels with skips; (B, 2, H, W) to (B, outputs, H, W) logits.

    H and W must be multiples of 16. The normalisation layers use fixed statistics once trained, so
    the answer at a pixel depends on its surroundings only, not on the tile that it lies in.
    """

    def __init__(self, outputs: int = 1, channels: tuple[int, ...] = (16, 32, 64, 128, 128)):
        super().__init__()
        inputs = (INPUTS, *channels[:-1])
        ends = list(zip(inputs, channels, strict=True))
        self.down = nn.ModuleList(_two_convolutions(i, o) for i, o in ends)
        self.up = nn.ModuleList(_two_convolutions(i + o, i) for i, o in ends[:0:-1])
        self.out = nn.Conv2d(channels[0], outputs, 1)

    def forward(self, x):  # (B, 2, H, W)
        skips = []
        for level in self.down:
            if skips:
                x = functional.avg_pool2d(x, 2)
            x = level(x)
            skips.append(x)
        skips.pop()
        for level in self.up:
            x = functional.interpolate(x, scale_factor=2.0)
            x = torch.cat([x, skips.pop()], 1)
            x = level(x)
        return self.out(x)


def _two_convolutions(channels_in: int, channels_out: int) -> nn.Sequential:
    layers = []
    for channels in (channels_in, channels_out):
        convolution = nn.Conv2d(channels, channels_out, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]
    return nn.Sequential(*layers)


@lru_cache(maxsize=4)
def load_network(weights: str, device: str = "cpu") -> UNet:
    """A trained network of registered weights, ready for use; read once in a process."""
    stored = load_file(fetch(weights))
    network = UNet(len(stored["out.bias"]))
    network.load_state_dict(stored)
    return network.eval().to(device, memory_format=torch.channels_last)


def run_network(network: UNet, values, spacing_px: float, progress: bool = False) -> np.ndarray:
    """Probabilities (outputs, H, W) that a network gives an image (H, W) of a known spacing."""
    zoom = TRAINED_SPACING_PX / spacing_px
    size = [max(2, round(n * zoom / STRIDE_PX)) * STRIDE_PX for n in values.shape]
    shown = torch.from_numpy(network_input(resample(values, size)))
    seen = _in_tiles(shown, network, progress)
    del shown
    maps = np.empty((len(seen), *values.shape), np.float32)
    for one, whole in zip(seen, maps, strict=True):
        np.clip(resample(one, values.shape), 0, 1, out=whole)
    return maps


def resample(values: np.ndarray, shape) -> np.ndarray:
    """`values` (H, W) on a grid of another `shape` over the same field; averaged when coarser."""
    contiguous = np.ascontiguousarray(values, np.float32)
    tensor = torch.from_numpy(contiguous)[None, None]
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
    usual = np.median(contrast)
    contrast = np.sqrt((contrast + usual) / 2 + 1e-12 * values.var() + 1e-30)
    return (values / contrast).astype(np.float32)


@torch.inference_mode()
def _in_tiles(image: torch.Tensor, network: UNet, progress: bool) -> np.ndarray:
    """Probabilities (outputs, H, W) of an input (2, H, W) at the trained spacing."""
    maps = np.empty((network.out.out_channels, *image.shape[1:]), np.float32)
    _, height, width = image.shape
    tiles = list(product(range(0, height, TILE_PX), range(0, width, TILE_PX)))
    for row, col in tqdm(tiles, "segment", leave=False, disable=not progress, delay=2):
        top = max(0, row - MARGIN_PX)
        left = max(0, col - MARGIN_PX)
        below = row + TILE_PX + MARGIN_PX
        right = col + TILE_PX + MARGIN_PX
        tile = image[None, :, top:below, left:right].to(network.out.weight.device)
        tile = tile.contiguous(memory_format=torch.channels_last)
        answer = torch.sigmoid(network(tile))
        inner = answer[0, :, row - top :, col - left :][:, :TILE_PX, :TILE_PX]
        maps[:, row : row + TILE_PX, col : col + TILE_PX] = inner.cpu().numpy()
    return maps
