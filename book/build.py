"""Execute every notebook, build the site, and say on each page what running it has cost.

``make book`` runs this file. The last cell of each page prints its run time and peak memory; here
those lines are collected into ``_build/costs.json`` and put into the ``page-cost`` spans of the
built pages. ``make costs`` (``build.py --readme``) copies them into the table of README.md.

A page that fails is shown as far as it came, is named at the end, and is executed again next time.

The book is made in a process of its own, which may be stopped at any moment (``stoppable.py``); the
next one goes on with the pages that are not done.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import stoppable

# ``execute`` is imported only where the book is made: that takes seconds, and a process that waits
# for a signal has to be ready for it.

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
SITE = (".doctrees", "jupyter_execute", "html")  # folders of Sphinx
COST = re.compile(r"This page ran in (\d+) s and used ([\d.]+) GiB at its peak")
SPAN = re.compile(r'(<span class="page-cost" data-page="([^"]+)">).*?(</span>)', re.DOTALL)
DEPRECATED_ROLE = ('role="doc-biblioentry"', 'role="listitem"')  # of the list of references
TABLE = re.compile(r"(<!-- costs -->\n).*?(<!-- /costs -->)", re.DOTALL)
IN_THIS_PROCESS = "--in-this-process"
LAST_WORDS = "stopped; the pages executed so far are kept"


@contextmanager
def whole_site() -> Iterator[None]:
    """Where the site is built: from nothing, if the last time it was not built to its end.

    Sphinx would take half a picture, or half a page, for a whole one, and leave it so.
    """
    mark = BUILD / "site.unfinished"
    if mark.exists():
        for name in SITE:
            shutil.rmtree(BUILD / name, ignore_errors=True)
    mark.touch()
    yield
    mark.unlink()


def build_site() -> bool:
    """Build the site; print the warnings of Sphinx, which are errors, and nothing else of it."""
    program = str(Path(sys.executable).with_name("jupyter-book"))
    command = [program, "build", "book", "--config", "_config.yml", "--path-output", "."]
    command += ["-q", "-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        # Where Sphinx itself breaks down, jupyter-book adds a traceback of its own to what it says.
        said = click.unstyle(done.stderr)
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
    from execute import execute_notebooks, forget_stale_results, yardstick_s

    started = time.monotonic()
    forget_stale_results()
    failures, paces = execute_notebooks(started)
    print("building the site", flush=True)
    with whole_site():
        whole = build_site()
        costs = collect_costs()
        mend_pages(costs)
    seconds = time.monotonic() - started
    pace = statistics.median(paces or [yardstick_s()])
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


def make_book_here() -> int:
    """Make the book in this process, or say in one line why that was not even begun."""
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel
    os.environ["OMP_NUM_THREADS"] = "1"  # two pages with two threads each would wait for each other
    from execute import NoNotebookError

    try:
        return make_book()
    except NoNotebookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def main(arguments: list[str]) -> int:
    """Make the book in a process of its own, or there; or copy what the last one has measured."""
    if "--readme" in arguments:
        write_readme()
        return 0
    if IN_THIS_PROCESS in arguments:
        stoppable.end_with_the_watcher()
        return make_book_here()
    return stoppable.run([sys.executable, __file__, IN_THIS_PROCESS], LAST_WORDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
