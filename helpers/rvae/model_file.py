"""The file a trained model is kept in: weights as safetensors, settings as JSON in its header.

Nothing in such a file can be executed, unlike in a pickle.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from .kinds import Kinds
from .mixture import Mixture
from .pieces import Pieces
from .turns import Turns

FORMAT = "rvae-stem-book model 2"
PREFIX = "kinds."  # of the tensors that belong to the kinds


def write_model(path: str | Path, tensors: dict[str, torch.Tensor], settings: dict) -> Path:
    """Write weights and settings; the file appears only when it is whole."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    header = {"format": FORMAT, "settings": json.dumps(settings)}
    save_file(tensors, partial, metadata=header)
    return partial.replace(path)


def read_model(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Weights and settings; a damaged file raises what its reader does, see `RVAE.load`."""
    if not path.is_file():
        raise FileNotFoundError(f"no model file at {path}: train one and save it there")
    with safe_open(path, framework="pt") as stored:
        header = stored.metadata() or {}
        found = header.get("format")
        if found != FORMAT:
            raise ValueError(f"its format is {found!r}")
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}
        settings = json.loads(header["settings"])
    return tensors, settings


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
