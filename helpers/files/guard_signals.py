"""What a reader has made of a file, before HyperSpy makes signals of it.

HyperSpy runs a formula that an axis is given by, imports a package that is named, and keeps fitted
models as pickles. All three can come from any file whose metadata are free: HyperSpy's own, the
tags of DigitalMicrograph, the JSON of Velox.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from .refusal import Refused, as_one_line

FORMULA = "in HyperSpy, axis.convert_to_uniform_axis() and save again; else export a .tif"

# What of a signal comes into an image. Models, decompositions and attributes do not.
_KEPT = {"data", "axes", "metadata", "original_metadata", "mapping", "post_process"}
_FLAGS = ("_lazy", "ragged")
_NEVER_RUN = {"data", "models"}


def checked_signal(signal: Mapping, path: Path) -> dict:
    """Return a signal, as a reader of RosettaSciIO gives it, without what could run or load code.

    Raises
    ------
    Refused
        If any axis, also of a signal inside of the metadata, is given as a formula.
    """
    kept = {key: value for key, value in signal.items() if key in _KEPT}
    attributes = signal.get("attributes", {})
    kept["attributes"] = {key: attributes[key] for key in _FLAGS if key in attributes}
    described = {key: value for key, value in signal.items() if key not in _NEVER_RUN}
    for where, inside in _mappings_in(described):
        if "expression" in inside:
            text = as_one_line(inside["expression"])
            reason = f"{where} is given as a formula, {text!r}, which would be run as program code"
            raise Refused(path, reason, FORMULA)
        for key, value in inside.items():
            if str(key).startswith("_sig_") and isinstance(value, dict):
                value.pop("package", None)  # HyperSpy would import it
    return kept


def _mappings_in(whole) -> Iterator[tuple[str, Mapping]]:
    """All dictionaries in a nest of them and of lists, each with the way there."""
    waiting = [("it", whole)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, Mapping):
            yield where, value
            parts = value.items()
        elif isinstance(value, list | tuple):
            parts = enumerate(value)
        elif isinstance(value, np.ndarray) and value.dtype == object:
            parts = enumerate(value.ravel())
        else:
            continue
        waiting += [(f"{where}/{key}".removeprefix("it/"), part) for key, part in parts]
