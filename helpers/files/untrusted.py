"""Read a file that nobody vouches for, in a process of its own with limits on time and memory.

Readers of microscope formats trust the sizes that a header states, and some are written in C: a
damaged or hostile file can make them loop, fill the memory, or crash. Here that ends a child.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..timing import BYTES_IN_GIB

LONGEST_S = 60
LARGEST_GIB = 2.0


def read_in_child(path: Path, **options):
    """What `load_image` returns; whatever happens to the child that reads it is a ValueError."""
    from hyperspy.signals import Signal2D

    with TemporaryDirectory() as place:
        target = Path(place) / "image.npz"
        command = [
            sys.executable,
            "-m",
            __name__,
            str(path.absolute()),
            str(target),
            json.dumps(options),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            raise ValueError(f"{path} keeps its reader busy for {LONGEST_S} s: damaged?") from None
        if done.returncode:
            raise ValueError(f"{path} ended its reader: damaged, or over {LARGEST_GIB:g} GiB?")
        with np.load(target, allow_pickle=False) as kept:
            data = kept["data"]
            said = json.loads(str(kept["said"]))
    if said["error"]:
        raise ValueError(said["error"])
    for text in said["warnings"]:
        warnings.warn(text, stacklevel=3)
    return Signal2D(data, axes=said["axes"], metadata=said["about"])


def _read(path: str, target: str, options: str) -> None:
    """The child: load the image under a limit on memory, and write down what came of it."""
    from .read import axes_of, read_image

    _limit_memory()
    said = {"error": ""}
    data = np.zeros(0)
    with warnings.catch_warnings(record=True) as caught:
        try:
            image = read_image(Path(path), **json.loads(options))
            data = np.asarray(image.data)
            said["axes"] = [axis.get_axis_dictionary() for axis in axes_of(image)]
            title = image.metadata.get_item("General.title", "")
            said["about"] = {"General": {"title": title}}
        except ValueError as error:
            said["error"] = str(error)
    said["warnings"] = [str(one.message) for one in caught]
    said_as_text = json.dumps(said, default=str)
    np.savez(target, data=data, said=said_as_text)


def _limit_memory() -> None:
    """No more than LARGEST_GIB beyond what the libraries take. Windows knows no such limit."""
    import hyperspy.api  # noqa: F401  (what it takes is not the file's fault)
    import psutil

    if sys.platform == "win32":
        return
    import resource

    memory = psutil.Process().memory_info()
    most_bytes = int(memory.vms + LARGEST_GIB * BYTES_IN_GIB)
    limits = (most_bytes, most_bytes)  # soft and hard
    resource.setrlimit(resource.RLIMIT_AS, limits)


if __name__ == "__main__":
    _read(*sys.argv[1:])
