"""Execute every notebook, build the site, and say on each page what running it has cost.

``make book`` runs this file. The last cell of each page prints its run time and peak memory; here
those lines are collected into ``_build/costs.json`` and put into the ``page-cost`` spans of the
built pages. ``make costs`` (``build.py --readme``) copies them into the table of README.md.

Each page is executed once, alone: in an empty folder of its own, in an environment that has the
wheel and not the checkout (``alone.py``). So the build is the proof that every page runs alone.

A page that fails is shown as far as it came, is named at the end, and is executed again next time.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import NamedTuple

import nbformat
import numpy as np
import psutil
from alone import environment_of_pages
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
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
COST = re.compile(r"This page ran in (\d+) s and used ([\d.]+) GiB at its peak")
SPAN = re.compile(r'(<span class="page-cost" data-page="([^"]+)">).*?(</span>)', re.DOTALL)
DEPRECATED_ROLE = ('role="doc-biblioentry"', 'role="listitem"')  # of the list of references
TABLE = re.compile(r"(<!-- costs -->\n).*?(<!-- /costs -->)", re.DOTALL)


# Executing the notebooks


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
    if not stamp.exists() or stamp.read_text() != digest:
        shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(exist_ok=True)
    stamp.write_text(digest)


def name_of(path: Path) -> str:
    """The name of a page, as in ``_toc.yml``: ``solutions/06_train_rvae``."""
    return path.relative_to(ROOT / "book").with_suffix("").as_posix()


def report_of(path: Path) -> Path:
    """Where all that is known about the failure of a page is written."""
    return BUILD / "reports" / f"{name_of(path)}.log"


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


def execute(job: tuple[Path, nbformat.NotebookNode], python: Path, variables: dict) -> Executed:
    """Execute a notebook alone, with `python`, until its end or its first error."""
    path, notebook = job
    started = time.monotonic()
    report = report_of(path)
    report.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder, report.open("w", encoding="utf-8") as log:
        failure = fault_of(notebook, folder, log, python=python, variables=variables)
        left = sorted(item.name for item in Path(folder).iterdir())
    if left and not failure:
        failure = f"after its last cell: it left {', '.join(left)} in its folder"
        report.write_text(failure, encoding="utf-8")
    if failure:
        failure = f"{path.relative_to(ROOT)} failed {failure}"
    else:
        report.unlink()
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
    """Store an executed notebook, and see that Sphinx reads its page anew.

    One that failed is stored as far as it came: Sphinx shows what it finds, and would execute again
    what it does not find.
    """
    data = {"execution_seconds": done.seconds}
    if done.failure:
        data["failed"] = done.failure
    bundle = CacheBundleIn(done.notebook, str(done.path), data=data)
    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    (BUILD / ".doctrees" / f"{name_of(done.path)}.doctree").unlink(missing_ok=True)


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
    cache = get_cache(BUILD / ".jupyter_cache")
    for record in cache.list_cache_records():
        if "failed" in record.data:
            cache.remove_cache(record.pk)
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


# Building the site


def build_site() -> bool:
    """Build the site; print the warnings of Sphinx, which are errors, and nothing else of it."""
    program = str(Path(sys.executable).with_name("jupyter-book"))
    command = [program, "build", "book", "--config", "_config.yml", "--path-output", "."]
    command += ["-q", "-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        # Where Sphinx itself breaks down, jupyter-book adds a traceback of its own to what it says.
        said = strip_ansi(done.stderr)
        print(said.split("Traceback (most recent")[0].strip() or said, file=sys.stderr)
    return done.returncode == 0


def collect_costs() -> dict[str, dict[str, float]]:
    """Read run time (s) and peak memory (GiB) of each page from what its last cell printed.

    The built pages hold this line even when results come from the cache; the executed notebooks
    beside them do not.
    """
    costs = {}
    for source in sorted((ROOT / "book").rglob("*.ipynb")):
        page = source.relative_to(ROOT / "book").with_suffix("").as_posix()
        built = BUILD / "html" / f"{page}.html"
        found = COST.findall(built.read_text(encoding="utf-8")) if built.exists() else []
        if found:
            seconds, gib = found[-1]
            costs[page] = {"seconds": int(seconds), "gib": float(gib)}
    return costs


def cost_text(costs: dict, page: str) -> str:
    if page not in costs:
        return "–"
    return f"{costs[page]['seconds']} s and {costs[page]['gib']:.2f} GiB"


def mend_pages(costs: dict) -> None:
    """Put the measured costs into the built pages, and roles that screen readers know."""
    for path in (BUILD / "html").rglob("*.html"):
        old = path.read_text(encoding="utf-8")
        new = SPAN.sub(lambda m: m[1] + cost_text(costs, m[2]) + m[3], old)
        new = new.replace(*DEPRECATED_ROLE)
        if new != old:
            path.write_text(new, encoding="utf-8")


def readme_table(costs: dict) -> str:
    """The table of pages in README.md: title, measured run time and peak memory."""
    rows = ["| page | runs in | peak memory |", "|---|---|---|"]
    for page in sorted(page for page in costs if "/" not in page):
        notebook = json.loads((ROOT / "book" / f"{page}.ipynb").read_text(encoding="utf-8"))
        title = "".join(notebook["cells"][0]["source"]).splitlines()[0].lstrip("# ")
        cost = costs[page]
        link = f"[{title}](book/{page}.ipynb)"
        rows.append(f"| {link} | {cost['seconds']} s | {cost['gib']:.2f} GiB |")
    return "\n".join(rows) + "\n"


def write_readme() -> None:
    costs = json.loads((BUILD / "costs.json").read_text())["pages"]
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(
        TABLE.sub(lambda m: m[1] + readme_table(costs) + m[2], text), encoding="utf-8"
    )


def make_slides() -> bool:
    """Make the slides of the site; print why not, if they could not be made."""
    command = [sys.executable, str(ROOT / "book" / "editions.py"), "slides"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr.rstrip(), file=sys.stderr)
    return done.returncode == 0


def make_book() -> int:
    """Execute, build, measure and make the slides: 0, or 1 if anything was not as it should be."""
    started = time.monotonic()
    forget_stale_results()
    failures, paces = execute_notebooks(started)
    print("building the site", flush=True)
    whole = build_site()
    costs = collect_costs()
    mend_pages(costs)
    seconds = time.monotonic() - started
    pace = float(np.median(paces or [yardstick_s()]))
    record = {"build_seconds": round(seconds), "yardstick_seconds": pace, "pages": costs}
    (BUILD / "costs.json").write_text(json.dumps(record, indent=1) + "\n")
    index = BUILD / "html" / "index.html"
    whole = index.exists() and make_slides() and whole
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        print(f"The full reports lie in {BUILD / 'reports'}; the other pages: {index}")
        return 1
    print(f"The book{'' if whole else ', with errors'}: {index}, in {seconds / 60:.1f} minutes")
    return 0 if whole else 1


def main() -> int:
    """Make the book, or say in one line why that was not even begun, or was not ended."""
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel
    os.environ["OMP_NUM_THREADS"] = "1"  # two pages with two threads each would wait for each other
    try:
        return make_book()
    except NoNotebookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        for kernel in psutil.Process().children():
            kernel.kill()
        print("\nstopped; the pages executed so far are kept", file=sys.stderr, flush=True)
        os._exit(130)  # at once: the threads that wait for the kernels would complain


if __name__ == "__main__":
    sys.exit(write_readme() if "--readme" in sys.argv else main())
