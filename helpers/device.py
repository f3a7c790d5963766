"""Where the networks run."""

from __future__ import annotations

import torch


def pick_device(device: str) -> str:
    """Return "cpu" or "cuda" for the wish "auto", "cpu" or "cuda".

    Raises
    ------
    ValueError
        For another word, or "cuda" where there is no GPU.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f'device={device!r}, but "auto", "cpu" or "cuda" is needed')
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError('device="cuda", but PyTorch finds no GPU here: use "auto" or "cpu"')
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
