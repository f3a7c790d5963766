"""Mutated files for every reader: is each refused in time, without a crash or a huge allocation?

    .venv/bin/python tests/fuzzing.py 500

A worker process under a limit on memory reads one file after another; one that hangs or dies is
counted and replaced.
"""

import multiprocessing
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from helpers import load_image
from helpers.files.child import limit_memory

LONGEST_S = 10
HEADER_BYTES = 4096  # most mutations fall here: sizes, offsets, types


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, mostly in the header; one file in five is cut as well."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        reach = len(changed) if rng.random() < 0.2 else min(len(changed), HEADER_BYTES)
        if reach:
            changed[rng.integers(reach)] = rng.choice([0, 255, 127, 128, rng.integers(256)])
    return bytes(changed[: rng.integers(len(changed) + 1)] if rng.random() < 0.2 else changed)


def writers() -> dict:
    """What writes a small file of each format."""
    import test_files_load
    import test_files_swift
    import test_files_tiff

    ours = {"ome.tif": test_files_tiff.write_ome}
    ours |= {name: test_files_swift.WRITERS[name] for name in ("ndata", "h5")}
    return test_files_load.WRITERS | ours


def write_mutated(folder: Path, ending: str, rng: np.random.Generator) -> Path:
    """A valid file of a format, and then one of its parts mutated."""
    from test_files_load import IMAGE

    folder.mkdir()
    path = folder / f"image.{ending}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writers()[ending](path, IMAGE)
    parts = sorted(part for part in folder.rglob("*") if part.is_file())
    part = parts[rng.integers(len(parts))]
    part.write_bytes(mutate(part.read_bytes(), rng))
    return path


def read_on_demand(pipe) -> None:
    """The worker: read each path it is sent, and answer with what came of it."""
    limit_memory()
    warnings.simplefilter("ignore")
    while True:
        path = pipe.recv()
        try:
            load_image(path).data.sum()
            pipe.send("read")
        except ValueError as error:
            is_memory = isinstance(error.__cause__, MemoryError)
            pipe.send("out of memory" if is_memory else "ValueError")
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")


class Reader:
    """A worker that is started anew when a file has ended it."""

    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=read_on_demand, args=(other,), daemon=True)
        self.process.start()
        other.close()

    def read(self, path: Path) -> str:
        self.pipe.send(path)
        if not self.pipe.poll(LONGEST_S):
            return "hang"
        try:
            return self.pipe.recv()
        except EOFError:
            return "crash"

    def stop(self) -> None:
        self.process.kill()
        self.process.join()


def fuzz(count: int, seed: int, folder: Path) -> dict[Path, str]:
    """What became of each of so many mutated files, all formats in turn."""
    rng, reader, outcome = np.random.default_rng(seed), Reader(), {}
    endings = list(writers())
    reader.read(write_mutated(folder / "first", "hspy", rng))  # the imports are not the file's
    for number in range(count):
        ending = endings[number % len(endings)]
        path = write_mutated(folder / str(number), ending, rng)
        outcome[path] = reader.read(path)
        if outcome[path] in ("hang", "crash"):
            reader.stop()
            reader = Reader()
            reader.read(folder / "first" / "image.hspy")
    reader.stop()
    return outcome


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    outcome = fuzz(int(sys.argv[1]), 1, folder)
    for what, count in Counter(outcome.values()).most_common():
        print(f"{count:5d}  {what}")
    for path, what in outcome.items():
        if what not in ("read", "ValueError"):
            kept = shutil.copytree(path.parent, Path(tempfile.mkdtemp()) / path.parent.name)
            print(f"{what}: {kept}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
