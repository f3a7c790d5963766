"""The file a trained model is kept in: weights as safetensors, settings as JSON in its header.

Nothing in such a file can be executed, unlike in a pickle. What it must hold stands in
`helpers.rvae.model_rules`.
"""

import json
import os
from pathlib import Path
from reprlib import repr as brief
from tempfile import TemporaryDirectory
from textwrap import shorten

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .kinds import Kinds
from .mixture import Mixture
from .model_rules import require_memory, require_settings, require_tensors
from .pieces import Pieces
from .turns import Turns

FORMAT = "rvae-stem-book model 2"
PREFIX = "kinds."  # of the tensors that belong to the kinds
HEADER = ("format", "settings")
LONGEST_REASON = 300  # characters of what is said to be wrong with a model
LONGEST_SETTINGS = 2**24  # characters: a history of 50,000 passes has fewer


def write_whole_model(path: str | Path, tensors: dict[str, torch.Tensor], settings: dict) -> Path:
    """Write weights and settings; a ValueError if they could not be read again."""
    on_host = {name: values.cpu() for name, values in tensors.items()}
    try:
        settings = _settings_of(_as_text(settings))  # as they will be read
        require_settings(settings)
        require_tensors(on_host, settings)
    except ValueError as problem:
        reason = shorten(str(problem), LONGEST_REASON)
        raise ValueError(
            f"{path} was not written, for it could not be loaded again ({reason}): "
            "correct that attribute of the model, or train it again"
        ) from problem
    return write_model(path, on_host, settings)


def write_model(path: str | Path, tensors: dict[str, torch.Tensor], settings: dict) -> Path:
    """Write weights and settings as they are; the file appears only when it is whole.

    Raises
    ------
    ValueError, FileNotFoundError
        If the path is a folder or no ordinary file, or lies in no folder.
    OSError
        If the file could not be written. One that was there before is as it was.
    """
    path = _with_home(path)
    _require_file_name(path)
    header = {"format": FORMAT, "settings": _as_text(settings)}
    content = save(tensors, metadata=header)
    try:
        _put_in_place(path, content)
    except OSError as problem:
        reason = problem.strerror or problem
        raise OSError(
            f"{path} was not written ({reason}): free some room there, or choose a folder where "
            "you may write; what was there before is as it was"
        ) from problem
    return path


def _with_home(path: str | Path) -> Path:
    """The path, with the home folder where it begins with ~."""
    expanded = os.path.expanduser(path)  # that of pathlib raises where there is no such user
    return Path(expanded)


def _require_file_name(path: Path) -> None:
    """A ValueError or FileNotFoundError where no file can be written."""
    if os.path.isdir(path):  # that of pathlib raises where a name is too long
        example = path / "model.safetensors"
        raise ValueError(f"{path} is a folder: name a file in it, such as {example}")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path} is no ordinary file, and is not replaced: choose another name")
    folder = path.parent
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"{path} was not written: there is no folder {folder}: make it, or choose another"
        )


def _put_in_place(path: Path, content: bytes) -> None:
    """Write a file beside its place, and move it there when it is whole."""
    with TemporaryDirectory(dir=path.parent, prefix="model.") as scratch:
        new = Path(scratch) / path.name
        new.write_bytes(content)
        new.replace(path)


def _as_text(settings: dict) -> str:
    """Settings as JSON, numbers of numpy among them."""

    def plain(value):
        if isinstance(value, np.generic):
            return value.item()
        raise ValueError(f"{brief(value)} is no number, text or list: a file cannot keep it")

    return json.dumps(settings, default=plain)


def read_whole_model(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Weights and settings of a whole model.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is no whole model; the reason is said.
    """
    path = _with_home(path)
    try:
        tensors, settings = read_model(path)
        require_settings(settings)
        require_memory(settings)
        require_tensors(tensors, settings)
    except FileNotFoundError:
        raise
    except MemoryError as problem:
        raise ValueError(
            f"{path} cannot be read here ({problem}): use a computer with more memory"
        ) from problem
    except (SafetensorError, ValueError, OSError) as problem:
        reason = shorten(str(problem), LONGEST_REASON)
        raise ValueError(f"{path} is not a whole model ({reason}): save it again") from problem
    # Copies: the tensors that were read change when the file does.
    own = {name: values.clone() for name, values in tensors.items()}
    return own, settings


def read_model(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Weights and settings as they stand in a file, whatever they are."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no model file at {path}: train one and save it there")
    with safe_open(path, framework="pt") as stored:
        header = stored.metadata() or {}
        found = header.get("format")
        if found != FORMAT:
            raise ValueError(f"its format is {brief(found)}, but {FORMAT!r} is needed")
        if set(header) != set(HEADER):
            raise ValueError(f"its header holds {brief(sorted(header))}, but {HEADER} is needed")
        settings = _settings_of(header["settings"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}
    return tensors, settings


def _settings_of(text: str) -> dict:
    """What a text in JSON says, and says once."""
    if len(text) > LONGEST_SETTINGS:
        raise ValueError(f"settings have {len(text)} characters, but at most {LONGEST_SETTINGS}")
    try:
        return json.loads(text, object_pairs_hook=_each_once)
    except RecursionError:
        raise ValueError("settings lie too deep in each other") from None


def _each_once(pairs: list[tuple]) -> dict:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError(f"settings hold one of the names {brief(list(names))} twice")
    return names


def tensors_of(kinds: Kinds) -> tuple[dict[str, torch.Tensor], dict]:
    """What is kept of kinds: tensors and settings. The sub-images they were found in are not."""
    pieces = kinds.pieces
    tensors = {
        "motifs": torch.as_tensor(kinds.motifs),
        "likeness": torch.as_tensor(kinds.likeness),
        "pieces": pieces.mixture.motifs.cpu(),
        "log_share": pieces.mixture.log_share.cpu(),
        "kind": pieces.kind.cpu(),
    }
    settings = {
        "names": list(kinds.names),
        "share": kinds.share.tolist(),
        "order": [int(order) for order in kinds.order],
        "variance": pieces.mixture.variance,
    }
    prefixed = {PREFIX + name: tensor.contiguous() for name, tensor in tensors.items()}
    return prefixed, settings


def kinds_from(tensors: dict, settings: dict, basis) -> tuple[Kinds, dict[str, torch.Tensor]]:
    """The kinds, of no sub-images, and the tensors that are not theirs."""
    own = {}
    others = {}
    for name, tensor in tensors.items():
        if name.startswith(PREFIX):
            own[name.removeprefix(PREFIX)] = tensor
        else:
            others[name] = tensor
    turns = Turns(basis)
    variance = float(settings["variance"])
    mixture = Mixture(turns, own["pieces"], own["log_share"], variance)
    order = np.array(settings["order"], dtype=int)
    pieces = Pieces(basis, mixture, own["kind"], list(settings["names"]), order)
    kinds = Kinds(
        motifs=own["motifs"].numpy(),
        names=list(settings["names"]),
        share=np.array(settings["share"]),
        order=order,
        likeness=own["likeness"].numpy(),
        kind=np.zeros(0, int),
        probability=np.zeros((0, len(order))),
        turn=np.zeros(0),
        pieces=pieces,
    )
    return kinds, others
