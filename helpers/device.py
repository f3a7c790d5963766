"""Where the networks run."""

from contextlib import contextmanager

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
    if device == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ValueError('device="cuda", but PyTorch finds no GPU here: use "auto" or "cpu"')
    return "cpu"


@contextmanager
def one_thread():
    """Let PyTorch use one thread inside the block.

    On matrices of a hundred rows, threads mostly wait for each other: a second one saves a tenth
    of the time on an idle computer and costs many times that on a busy one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
