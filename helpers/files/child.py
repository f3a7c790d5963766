"""The child that reads an untrusted file: it ends with its parent, and at its limits.

Only the standard library is imported before it watches its parent; the rest comes after.
"""

import json
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

LONGEST_S = 60
LARGEST_GIB = 2.0


def main() -> None:
    """Read the file that the command line names; end when the parent does, or time is over."""
    _end_with_parent()
    if hasattr(signal, "alarm"):  # ends even a reader in C that lets no other thread run
        signal.alarm(LONGEST_S)
    limit_memory()
    path, target, options = sys.argv[1:]
    _read(Path(path), target, **json.loads(options))


def _end_with_parent() -> None:
    """End as soon as the pipe ends that the parent holds open: when it dies, however that is."""
    threading.Thread(target=_wait_for_end_of_pipe, daemon=True).start()
    if hasattr(os, "O_ASYNC"):  # the system itself ends us, where a reader lets no thread run
        import fcntl

        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(0, fcntl.F_GETFL)
        fcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_ASYNC)


def _wait_for_end_of_pipe() -> None:
    os.read(0, 1)
    os._exit(1)


def limit_memory() -> None:
    """No more than LARGEST_GIB beyond what the libraries take. Windows knows no such limit."""
    import hyperspy.api  # noqa: F401  (what it takes is not the file's fault)
    import psutil

    from ..timing import BYTES_IN_GIB

    if sys.platform == "win32":
        return
    import resource

    memory = psutil.Process().memory_info()
    most_bytes = int(memory.vms + LARGEST_GIB * BYTES_IN_GIB)
    limits = (most_bytes, most_bytes)  # soft and hard
    resource.setrlimit(resource.RLIMIT_AS, limits)


def _read(path: Path, target: str, **options) -> None:
    """Load the image, and write down what came of it."""
    import numpy as np

    from .read import axes_of, read_image

    said = {"error": ""}
    data = np.zeros(0)
    with warnings.catch_warnings(record=True) as caught:
        try:
            image = read_image(path, lazy=False, **options)
            data = np.asarray(image.data)
            said["axes"] = [axis.get_axis_dictionary() for axis in axes_of(image)]
            said["title"] = str(image.metadata.get_item("General.title", ""))
        except ValueError as error:
            said["error"] = str(error)
            said["is_memory"] = isinstance(error.__cause__, MemoryError)
    said["warnings"] = [str(one.message) for one in caught]
    said_as_text = json.dumps(said, default=_as_plain)
    np.savez(target, data=data, said=said_as_text)


def _as_plain(value):
    """What JSON can hold of an axis: numbers and lists of them, and texts."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
