"""The file a trained rVAE is kept in: weights as safetensors, settings as JSON in its header.

Nothing in such a file can be executed, unlike in a pickle.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .contrast import Contrast
from .rvae import RVAE

FORMAT = "rvae-stem-book model 1"


def save_model(model: RVAE, path: str | Path) -> Path:
    """Write a trained model; the file appears only when it is whole."""
    settings = {
        "window_px": model.basis.window_px,
        "band_limit": model.basis.band_limit,
        "latent_dim": model.latent_dim,
        "seed": model.seed,
        "beta": model.beta,
        "pixel_size_nm": model.pixel_size_nm,
        "offset": model._contrast.offset,
        "gain": model._contrast.gain,
        "history": model.history,
    }
    path = Path(path)
    tensors = {k: v.cpu().contiguous() for k, v in model._motifs.state_dict().items()}
    tensors["reference"] = model._reference.cpu()
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata={"format": FORMAT, "settings": json.dumps(settings)})
    partial.replace(path)
    return path


def load_model(path: str | Path, *, device: str = "auto") -> RVAE:
    """Read a model; FileNotFoundError or ValueError if there is no whole one."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no model file at {path}: train one and save it there")
    try:
        with safe_open(path, framework="pt") as stored:
            header = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}
        if header.get("format") != FORMAT:
            raise ValueError(f"its format is {header.get('format')!r}")
        settings = json.loads(header["settings"])
        names = ("latent_dim", "seed", "beta", "band_limit")
        chosen = {name: settings[name] for name in names}
        model = RVAE(settings["window_px"], device=device, **chosen)
        model._reference = tensors.pop("reference").to(model.device)
        model._motifs.load_state_dict(tensors)
        model._contrast = Contrast(settings["offset"], settings["gain"])
        model.pixel_size_nm, model.history = settings["pixel_size_nm"], settings["history"]
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as problem:
        raise ValueError(
            f"{path} is not a whole model of this package ({problem}): save it again"
        ) from problem
    return model
