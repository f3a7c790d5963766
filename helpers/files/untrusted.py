"""Read a file that nobody vouches for, in a process of its own with limits on time and memory.

Readers of microscope formats trust the sizes that a header states, and some are written in C: a
damaged or hostile file can make them loop, fill the memory, or crash. Here that ends a child. It is
no sandbox: a file that takes over a reader has the rights of whoever opened it.
"""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .child import LARGEST_GIB, LONGEST_S
from .refusal import EXPORT, as_one_line

# The child takes this package from here, not from whatever the current folder is.
_PACKAGES = str(Path(__file__).resolve().parents[2])
_CHILD = f"{__package__}.child"
_START = f"import sys; sys.path.append({_PACKAGES!r}); from {_CHILD} import main; main()"
_LIMIT = f"the limit of {LARGEST_GIB:g} GiB"
# What an axis may be made of: no formula, since the child is trusted as little as the file.
_AXIS_KEYS = ("name", "units", "size", "scale", "offset", "axis", "navigate", "is_binned")


def read_in_child(path: Path, **options):
    """What `load_image` returns; whatever happens to the child that reads it is a ValueError."""
    from hyperspy.signals import Signal2D

    with TemporaryDirectory() as place:
        target = Path(place) / "image.npz"
        _run_child(path, [str(path.absolute()), str(target), json.dumps(options)], place)
        with np.load(target, allow_pickle=False) as kept:
            data = kept["data"]
            said = json.loads(str(kept["said"]))
    if said["error"] and said["is_memory"]:
        raise ValueError(f"{path} needs more memory than {_LIMIT}: damaged? If not, {EXPORT}")
    if said["error"]:
        raise ValueError(said["error"])
    for text in said["warnings"]:
        warnings.warn(text, stacklevel=3)
    axes = [{key: axis[key] for key in _AXIS_KEYS if key in axis} for axis in said["axes"]]
    return Signal2D(data, axes=axes, metadata={"General": {"title": said["title"]}})


def _run_child(path: Path, arguments: list[str], place: str) -> None:
    """Run the child, in an empty folder, to its end; a ValueError tells of any but a good one."""
    complaints = Path(place) / "complaints.txt"
    with (
        complaints.open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-P", "-c", _START, *arguments],
            stdin=subprocess.PIPE,  # its end tells the child that nobody waits any more
            stdout=log,
            stderr=log,
            cwd=place,
            env=_variables(),
        ) as child,
    ):
        try:
            child.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            message = f"{path} keeps its reader busy for {LONGEST_S} s, the limit: damaged?"
            raise ValueError(f"{message} If not, {EXPORT}") from None
        finally:
            child.kill()
    if child.returncode:
        reason = _reason(child.returncode, complaints.read_text(errors="replace"))
        raise ValueError(f"{path} ended its reader ({reason}): damaged? If not, {EXPORT}")


def _variables() -> dict[str, str]:
    """The variables of this process; of Python's own only those that say where packages lie."""
    kept = {"PYTHONPATH", "PYTHONHOME"}
    variables = {}
    for name, value in os.environ.items():
        if name in kept or not name.startswith("PYTHON"):
            variables[name] = value
    return variables


def _reason(returncode: int, complaints: str) -> str:
    """Why a process ended: by which signal, or with which last words."""
    if returncode >= 0:
        lines = complaints.strip().splitlines() or [f"code {returncode}; {_LIMIT} may be passed"]
        return as_one_line(lines[-1])
    number = -returncode
    names = {one.value: one.name for one in signal.Signals}
    return f"signal {number}, {names.get(number, 'unknown')}; {_LIMIT} may be passed"
