"""Execute every notebook that the store of results does not hold.

Each page is executed once, alone: in an empty folder of its own, in an environment that has the
wheel and not the checkout (``alone.py``). So the build is the proof that every page runs alone.

The build may be stopped in the middle of any line (``stoppable.py``): what was then half stored is
forgotten by the next one.
"""

import asyncio
import hashlib
import json
import shutil
import sys
import time
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from textwrap import shorten
from typing import NamedTuple, TextIO

import nbformat
import numpy as np
from alone import environment_of_pages
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.cache.main import JupyterCacheBase
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.filters import strip_ansi
from traitlets import Unicode
from traitlets.config import Config

from helpers.kernel import QuietKernelManager

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
AT_ONCE = 2  # notebooks executed at a time
LONGEST_S = 180  # for one cell
NO_INPUT = {"__pycache__", ".ipynb_checkpoints"}  # folders that others write beside the inputs


class NoNotebookError(ValueError):
    """A file that should be a notebook is none."""


class PageKernelManager(QuietKernelManager):
    """Starts the kernel of a page with the python that is named."""

    python = Unicode(sys.executable, config=True)

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        _, *arguments = super().format_kernel_cmd(extra_arguments)
        return [self.python, *arguments]


class Executed(NamedTuple):
    """A notebook with its outputs, how long it took, and why it failed (empty if it did not)."""

    path: Path
    notebook: nbformat.NotebookNode
    seconds: float
    failure: str


def store_of_results() -> JupyterCacheBase:
    """The executed notebooks; Sphinx takes them from there."""
    return get_cache(BUILD / ".jupyter_cache")


def digest_of_inputs() -> str:
    """A checksum of what every result depends on: Python, versions, all of package and data."""
    inputs = [path for folder in ("helpers", "data") for path in (ROOT / folder).rglob("*")]
    inputs = [path.relative_to(ROOT) for path in inputs if path.is_file()]
    inputs = [path for path in inputs if not NO_INPUT & set(path.parts)]
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([*inputs, Path("constraints.txt")]):
        digest.update(path.as_posix().encode() + b"\0" + (ROOT / path).read_bytes() + b"\0")
    return digest.hexdigest()


def forget_stale_results() -> None:
    """Remove ``_build`` if code, data or versions changed: its cache watches notebooks only."""
    digest = digest_of_inputs()
    stamp = BUILD / "inputs.sha256"
    if stamp.exists() and stamp.read_text() == digest:
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(exist_ok=True)
    store_of_results().list_cache_records()  # makes an empty one; the stamp then says that it did
    stamp.write_text(digest)


def name_of(path: Path) -> str:
    """The name of a page, as in ``_toc.yml``: ``solutions/06_train_rvae``."""
    return path.relative_to(ROOT / "book").with_suffix("").as_posix()


def report_of(path: Path) -> Path:
    """Where all that is known about the failure of a page is written."""
    return BUILD / "reports" / f"{name_of(path)}.log"


def is_whole(path: Path) -> bool:
    """Whether a stored notebook is there, to its end."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return True


def forget_failed_results(cache: JupyterCacheBase) -> None:
    """Remove what `cache` holds of pages that failed, and of those stored when a build was stopped.

    The cache notes that it has a page before it has written it.
    """
    for record in cache.list_cache_records():
        stored = cache.path / "executed" / record.hashkey / "base.ipynb"
        if "failed" in record.data or not is_whole(stored):
            stored.parent.mkdir(parents=True, exist_ok=True)
            stored.touch()  # the cache does not remove what is not there
            cache.remove_cache(record.pk)


def unexecuted(cache) -> dict[Path, nbformat.NotebookNode]:
    """The notebooks that `cache` holds no results of; NoNotebookError if one cannot be read."""
    found = {}
    book = ROOT / "book"
    for path in [*sorted(book.glob("*.ipynb")), *sorted(book.glob("solutions/*.ipynb"))]:
        try:
            notebook = nbformat.read(path, as_version=4)
        except Exception as error:  # nbformat raises several, and whatever json does
            raise NoNotebookError(
                f"{path.relative_to(ROOT)} is no notebook: {one_line(error)}; "
                "mend it, or fetch it again by git checkout"
            ) from None
        try:
            cache.match_cache_notebook(notebook)
        except KeyError:
            found[path] = notebook
    return found


def one_line(error: Exception) -> str:
    """Class and message of an error that a page, or the running of it, has raised."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, CellExecutionError):
        said = f"{error.ename}: {error.evalue}"
    elif isinstance(error, CellTimeoutError):
        said = f"TimeoutError: the cell was still running after {LONGEST_S} s"
    elif isinstance(error, DeadKernelError):
        said = "DeadKernelError: the kernel died, as it does where memory runs out"
    return shorten(strip_ansi(said), 600)


def temporary_log() -> TextIO:
    """A file for what a kernel prints, and we add: each writes at its end."""
    return TemporaryFile("a+", encoding="utf-8", errors="replace")


def execute(job: tuple[Path, nbformat.NotebookNode], python: Path, variables: dict) -> Executed:
    """Execute a notebook alone, with `python`, until its end or its first error."""
    path, notebook = job
    started = time.monotonic()
    with TemporaryDirectory() as folder, temporary_log() as log:
        failure = fault_of(notebook, folder, log, python=python, variables=variables)
        left = sorted(item.name for item in Path(folder).iterdir())
        log.seek(0)
        said = log.read()
    if left and not failure:
        failure = f"after its last cell: it left {', '.join(left)} in its folder"
        said = failure
    report = report_of(path)
    report.parent.mkdir(parents=True, exist_ok=True)
    if failure:
        report.write_text(said, encoding="utf-8")
        failure = f"{path.relative_to(ROOT)} failed {failure}"
    else:
        report.unlink(missing_ok=True)
    return Executed(path, notebook, time.monotonic() - started, failure)


def fault_of(notebook, folder: str, log, *, python: Path, variables: dict) -> str:
    """Execute a notebook in place, in a folder; say where and why it failed, if it did.

    The log takes what the kernel prints beside its cells.
    """
    begun = []  # cells
    client = NotebookClient(
        notebook,
        kernel_manager_class=PageKernelManager,
        config=Config({"PageKernelManager": {"python": str(python)}}),
        timeout=LONGEST_S,
        record_timing=False,  # times in the cells would hide the notebook from the cache
        resources={"metadata": {"path": folder}},
        on_cell_execute=lambda cell, cell_index: begun.append(cell),
    )
    try:
        # A loop of its own, which ends here, ends the tasks that wait for a kernel that died.
        asyncio.run(client.async_execute(stdout=log, stderr=log, env=variables))
    except Exception as error:  # whatever it is, the other pages go on
        log.write(strip_ansi(str(error)))
        return f"{place_of(begun)}: {one_line(error)}"
    return ""


def place_of(begun: list[nbformat.NotebookNode]) -> str:
    """Where a page failed: the last of the cells that were begun, by number and first line."""
    if not begun:
        return "before its first cell"
    return f"in code cell {len(begun)}, `{begun[-1].source.strip().splitlines()[0]}`"


def keep(cache, done: Executed) -> None:
    """See that Sphinx reads the page of an executed notebook anew, and store the notebook.

    In this order: what is not stored is executed again. A page that failed is stored as far as it
    came: Sphinx shows what it finds, and would execute again what it does not find.
    """
    (BUILD / ".doctrees" / f"{name_of(done.path)}.doctree").unlink(missing_ok=True)
    data = {"execution_seconds": done.seconds}
    if done.failure:
        data["failed"] = done.failure
    bundle = CacheBundleIn(done.notebook, str(done.path), data=data)
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def yardstick_s() -> float:
    """Processor time (s) of ten Fourier transforms of 1024² pixels: how fast this computer is now.

    Measured while the pages run, it tells a slow page from a slow computer.
    """
    image = np.random.default_rng(0).normal(size=(1024, 1024))
    started = time.thread_time()
    for _ in range(10):
        np.fft.fft2(image)
    return time.thread_time() - started


def execute_notebooks(started: float) -> tuple[list[str], list[float]]:
    """Execute what the cache does not hold, saying so page by page.

    Returns what failed, and why; and the yardstick (s), laid on after each page.
    """
    cache = store_of_results()
    forget_failed_results(cache)
    jobs = unexecuted(cache)
    failures, paces = [], []
    if not jobs:
        return failures, paces
    python, variables = environment_of_pages(ROOT, BUILD / "alone")
    alone = partial(execute, python=python, variables=variables)
    with ThreadPool(AT_ONCE) as pool:
        for number, done in enumerate(pool.imap_unordered(alone, jobs.items()), start=1):
            keep(cache, done)
            paces.append(yardstick_s())
            after = f"{(time.monotonic() - started) / 60:.1f} min"
            if done.failure:
                failures.append(done.failure)
                after = f"failed after {after}"
            print(f"page {number} of {len(jobs)} · {name_of(done.path)} · {after}", flush=True)
    return sorted(failures), paces
