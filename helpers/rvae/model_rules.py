"""What the file of a model must hold: compared before anything is built from it.

A file may be damaged, of another program, or made to harm: with a window so large that its basis
takes minutes, with NaN, with a noise level below zero. Two tables, in the form of the file, say of
each entry what it is and between which bounds, which lie far beyond what a training ends at.
"""

from dataclasses import dataclass
from functools import partial
from reprlib import repr as brief
from sys import float_info

import numpy as np
import psutil
import torch

from ..subimages.harmonics import FIRST_WAVE, count_functions, disk_mask
from ..timing import BYTES_IN_GIB
from .halves import MOST_PIECES
from .orders import ORDERS
from .training import HIDDEN

LARGEST_WINDOW_PX = 1024
MOST_PASSES = 50_000
MOST_CLASSES = 1000
LARGEST_PIXEL = 1e24
LARGEST_NUMBER = 1e9  # of a motif, in units of the contrast
LARGEST_WEIGHT = 1e4  # of a network
LARGEST_LOG = 40
LEAST_CONTRAST = 1e-6  # of the brightness: with less nothing is learned
ROUNDING = 1e-3
BYTES_A_NUMBER = 75  # of the basis, while it is built: measured

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
NUMBERS = {int: int, float: (int, float)}  # a number without a fraction may be written as whole


@dataclass(frozen=True)
class Value:
    """What a setting must be.

    Attributes
    ----------
    type : int, float, bool or str
    least, most : float
        Bounds of a number, which are allowed.
    many : int, optional
        The setting is a list, of at most so many.
    optional : bool
        Null is allowed as well.
    """

    type: type
    least: float = -float_info.max
    most: float = float_info.max
    many: int | None = None
    optional: bool = False

    def __str__(self) -> str:
        words = WORDS[self.type]
        if self.type in NUMBERS:
            words = f"{words} from {self.least:.6g} to {self.most:.6g}"
        if self.many is not None:
            words = f"a list of at most {self.many}, each {words},"
        return words

    def require(self, name: str, value) -> None:
        """A ValueError unless the value of this name is as it must be."""
        if self.optional and value is None:
            return
        if self.many is None:
            is_right = self._allows(value)
        else:
            is_list = isinstance(value, list) and len(value) <= self.many
            is_right = is_list and all(self._allows(one) for one in value)
        if not is_right:
            raise ValueError(f"{name} is {brief(value)}, but {self} is needed")

    def _allows(self, value) -> bool:
        if self.type not in NUMBERS:
            return isinstance(value, self.type)
        is_number = isinstance(value, NUMBERS[self.type]) and not isinstance(value, bool)
        return is_number and self.least <= value <= self.most


@dataclass(frozen=True)
class Tensor:
    """What a tensor must be: its type, its shape in sizes that have names, and its bounds."""

    dtype: torch.dtype
    least: float
    most: float
    shape: tuple[str, ...] = ()

    def require_form(self, name: str, values: torch.Tensor, sizes: dict[str, int]) -> None:
        """A ValueError unless a tensor is of the type and the shape."""
        shape = tuple(sizes[size] for size in self.shape)
        _require(
            values.dtype == self.dtype and values.shape == shape,
            f"{name} is {values.dtype} of shape {brief(tuple(values.shape))}, "
            f"but {self.dtype} of shape {brief(shape)} is needed",
        )

    def require_bounds(self, name: str, values: torch.Tensor) -> None:
        """A ValueError unless all values, of which none may be NaN, lie within the bounds."""
        is_within = (values >= self.least) & (values <= self.most)
        wrong = values[~is_within].tolist()
        _require(
            not wrong,
            f"{name} holds {brief(wrong[:1])}, but numbers from {self.least:g} to {self.most:g} "
            "are needed",
        )


POSITIVE = Value(float, 1e-30, 1e30)
LEVEL = Value(float, 1e-12, 1e6)  # of noise, in units of the contrast, and of shifts, in pixels

SETTINGS = {
    "window_px": Value(int, 5, LARGEST_WINDOW_PX),
    "band_limit": Value(float, FIRST_WAVE, 2 * LARGEST_WINDOW_PX),
    "latent_dim": Value(int, 1, 1000),
    "seed": Value(int, 0, 2**64 - 1),
    "beta": POSITIVE,
    "offsets": Value(bool),
    "classes": Value(str, many=MOST_CLASSES),
    "pixel_size_nm": Value(float, 1e-30, 1e30, optional=True),
    "history": [
        {
            "epoch": Value(int, 1),
            "loss": Value(float),
            "misfit": Value(float),
            "kl": Value(float),
            "sigma": Value(float),
            "beta": Value(float),
            "learning_rate": Value(float),
        }
    ],
    "contrast": {
        "offset": Value(float, -LARGEST_PIXEL, LARGEST_PIXEL),
        "gain": Value(float, 1e-15, 1e18),
    },
    "noise": {
        "sigma": LEVEL,
        "overdispersion": Value(float, 1, 1e24),  # large where a motif hardly turns
        "shift_px": LEVEL,
    },
    "kinds": {
        "names": Value(str, many=MOST_PIECES),
        "share": Value(float, 0, 1, many=MOST_PIECES),
        "order": Value(int, 0, max(ORDERS), many=MOST_PIECES),
        "variance": Value(float, 1e-16, 1e16),
    },
}

_weights = partial(Tensor, torch.float32, -LARGEST_WEIGHT, LARGEST_WEIGHT)
_motifs = partial(Tensor, torch.float32, -LARGEST_NUMBER, LARGEST_NUMBER)
_pixels = partial(Tensor, torch.float32, -LARGEST_PIXEL, LARGEST_PIXEL)
_log = partial(Tensor, torch.float32, -LARGEST_LOG)
_correlation = partial(Tensor, torch.float64, -1 - ROUNDING, 1 + ROUNDING)

TENSORS = {
    "encoder.0.weight": _weights(("hidden", "seen")),
    "encoder.0.bias": _weights(("hidden",)),
    "encoder.2.weight": _weights(("hidden", "hidden")),
    "encoder.2.bias": _weights(("hidden",)),
    "encoder.4.weight": _weights(("proposed", "hidden")),
    "encoder.4.bias": _weights(("proposed",)),
    "decoder.0.weight": _weights(("hidden", "told")),
    "decoder.0.bias": _weights(("hidden",)),
    "decoder.2.weight": _weights(("hidden", "hidden")),
    "decoder.2.bias": _weights(("hidden",)),
    "decoder.4.weight": _weights(("numbers", "hidden")),
    "decoder.4.bias": _weights(("numbers",)),
    "log_sigma": _log(LARGEST_LOG),
    "log_shift": _log(LARGEST_LOG),
    "axes": Tensor(torch.float32, -2, 2, ("latents", "latents")),
    "prior_sd": Tensor(torch.float32, 1e-3, 1e3, ("latents",)),
    "places": Tensor(torch.float32, -1e3, 1e3, ("standing",)),
    "reference": _motifs(("standing", "numbers")),
    "kinds.kind": Tensor(torch.int64, 0, MOST_PIECES, ("pieces",)),
    "kinds.log_share": _log(ROUNDING, ("pieces",)),
    "kinds.pieces": _motifs(("pieces", "numbers")),
    "kinds.likeness": _correlation(("kinds", "kinds")),
    "kinds.motifs": _pixels(("kinds", "window", "window")),
}


def require_settings(settings) -> None:
    """A ValueError that says which setting is wrong, and what is needed."""
    _require_as_in(SETTINGS, "settings", settings)
    contrast = settings["contrast"]
    least = LEAST_CONTRAST * abs(contrast["offset"])
    gain = contrast["gain"]
    _require(gain >= least, f"contrast.gain is {gain:g}, but at least {least:g} is needed here")

    kinds = settings["kinds"]
    for name in ("share", "order"):
        count = len(kinds[name])
        names = len(kinds["names"])
        _require(count == names, f"kinds.{name} is of {count} kinds, but kinds.names of {names}")
    for order in kinds["order"]:
        is_one = order in (0, *ORDERS)
        _require(is_one, f"kinds.order holds {order}, but 0 or one of {ORDERS} is needed")
    if kinds["share"]:
        _require_one("the sum of kinds.share", sum(kinds["share"]))


def require_memory(settings: dict) -> None:
    """A MemoryError if the basis of a model would not fit into the memory that is free."""
    window_px = settings["window_px"]
    limit = settings["band_limit"]
    functions = limit**2 / 4 + limit / 2  # by Weyl's law: so many vibrations has a disk
    pixels = np.pi / 4 * window_px**2
    needed_gib = functions * pixels * BYTES_A_NUMBER / BYTES_IN_GIB
    free_gib = psutil.virtual_memory().available / BYTES_IN_GIB
    if needed_gib > free_gib:
        raise MemoryError(
            f"window_px={window_px} and band_limit={limit:g} take {needed_gib:.3g} GiB of memory, "
            f"but {free_gib:.3g} GiB are free"
        )


def require_tensors(tensors: dict[str, torch.Tensor], settings: dict) -> None:
    """A ValueError that says which tensor is not as these settings want it, and how that is."""
    _require_names("the file", tensors, TENSORS)
    sizes = _sizes(tensors, settings)
    for name, must in TENSORS.items():
        must.require_form(name, tensors[name], sizes)

    # Of a motif there is nothing outside the disk.
    disk = torch.as_tensor(disk_mask(settings["window_px"]))
    motifs = tensors["kinds.motifs"]
    _require(
        bool(motifs[:, ~disk].isnan().all()),
        "kinds.motifs holds numbers outside the disk, but NaN is needed there",
    )
    bounded = tensors | {"kinds.motifs": motifs[:, disk]}
    for name, must in TENSORS.items():
        must.require_bounds(name, bounded[name])

    _require_standing(tensors, sizes)


def _sizes(tensors: dict[str, torch.Tensor], settings: dict) -> dict[str, int]:
    """How large what the tables name is, by the settings and by the number of pieces."""
    numbers = count_functions(settings["window_px"], settings["band_limit"])
    latents = settings["latent_dim"]
    classes = len(settings["classes"])
    kinds = len(settings["kinds"]["names"])
    pieces = tensors["kinds.kind"].numel()
    return {
        "window": settings["window_px"],
        "numbers": numbers,
        "seen": numbers + classes,
        "hidden": HIDDEN,
        "proposed": 2 * latents,  # a mean and a variance of each
        "latents": latents,
        "told": latents + classes,
        "kinds": kinds,
        "standing": max(1, kinds),  # noise has no kind, but a motif
        "pieces": min(max(1, pieces), MOST_PIECES),
    }


def _require_standing(tensors: dict[str, torch.Tensor], sizes: dict[str, int]) -> None:
    """A ValueError unless kinds have pieces, shares are all there is, and axes are at right
    angles."""
    kinds = set(tensors["kinds.kind"].tolist())
    count = sizes["standing"]
    _require(
        kinds == set(range(count)),
        f"kinds.kind names the kinds {brief(kinds)}, but a piece of each of {count} is needed",
    )
    total = tensors["kinds.log_share"].exp().sum()
    _require_one("the sum of exp(kinds.log_share)", float(total))
    axes = tensors["axes"].double()
    off = axes @ axes.T - torch.eye(len(axes))
    _require(
        float(off.abs().max()) < ROUNDING,
        "axes are not of length one and at right angles, but those of the latents must be",
    )


def _require_as_in(table, name: str, found) -> None:
    """A ValueError unless what was found under a name is as in the table, which has its form."""
    if isinstance(table, Value):
        table.require(name, found)
    elif isinstance(table, dict):
        _require_names(name, found, table)
        for key, part in table.items():
            _require_as_in(part, f"{name}.{key}", found[key])
    else:
        _require_rows(name, found)
        for number, row in enumerate(found):
            _require_as_in(table[0], f"{name}[{number}]", row)


def _require_names(name: str, found, wanted: dict) -> None:
    """A ValueError unless all names that are wanted were found, and no more."""
    if not isinstance(found, dict):
        raise ValueError(f"{name} is {brief(found)}, but names and values are needed")
    for key in wanted:
        if key not in found:
            raise ValueError(f"{name} lacks {key!r}")
    for key in found:
        if key not in wanted:
            raise ValueError(f"{name} holds {brief(key)}, which no model has")


def _require_rows(name: str, found) -> None:
    if not isinstance(found, list):
        raise ValueError(f"{name} is {brief(found)}, but a list is needed")
    rows = len(found)
    _require(rows <= MOST_PASSES, f"{name} has {rows} rows, but at most {MOST_PASSES} are kept")


def _require_one(name: str, value: float) -> None:
    is_one = abs(value - 1) <= ROUNDING
    _require(is_one, f"{name} is {value:g}, but 1 is needed")


def _require(is_right: bool, message: str) -> None:
    if not is_right:
        raise ValueError(message)
