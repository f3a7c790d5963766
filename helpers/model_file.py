"""The file a trained model is kept in: weights as safetensors, settings as JSON in its header.

Nothing in such a file can be executed, unlike in a pickle.
"""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

FORMAT = "rvae-stem-book model 1"


def write_model(path: str | Path, tensors: dict[str, torch.Tensor], settings: dict) -> Path:
    """Write weights and settings; the file appears only when it is whole."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata={"format": FORMAT, "settings": json.dumps(settings)})
    return partial.replace(path)


def read_model(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Weights and settings; a damaged file raises what its reader does, see `RVAE.load`."""
    if not path.is_file():
        raise FileNotFoundError(f"no model file at {path}: train one and save it there")
    with safe_open(path, framework="pt") as stored:
        header = stored.metadata() or {}
        if header.get("format") != FORMAT:
            raise ValueError(f"its format is {header.get('format')!r}")
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}
        return tensors, json.loads(header["settings"])
