"""Execute every notebook, build the site, and say on each page what running it has cost.

``make book`` runs this file. The last cell of each page prints its run time and peak memory; here
those lines are collected into ``_build/costs.json`` and put into the ``page-cost`` spans of the
built pages. ``make costs`` (``build.py --readme``) copies them into the table of README.md.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from multiprocessing import Pool
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.executors.basic import ExecutionWorkerLocalMProc, ProcessData

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
AT_ONCE, LONGEST_S = 2, 180  # notebooks executed at a time, and for how long
COST = re.compile(r"This page ran in (\d+) s and used ([\d.]+) GiB at its peak")
SPAN = re.compile(r'(<span class="page-cost" data-page="([^"]+)">).*?(</span>)', re.DOTALL)
DEPRECATED_ROLE = ('role="doc-biblioentry"', 'role="listitem"')  # of the list of references
TABLE = re.compile(r"(<!-- costs -->\n).*?(<!-- /costs -->)", re.DOTALL)


def forget_stale_results() -> None:
    """Remove ``_build`` if code, data or versions changed: its cache watches notebooks only."""
    inputs = [*(ROOT / "helpers").rglob("*.py"), *(ROOT / "data").iterdir()]
    inputs += [ROOT / "constraints.txt"]
    digest = hashlib.sha256()
    for path in sorted(path for path in inputs if path.is_file()):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    stamp = BUILD / "inputs.sha256"
    if not stamp.exists() or stamp.read_text() != digest.hexdigest():
        shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(exist_ok=True)
    stamp.write_text(digest.hexdigest())


def execute_notebooks() -> None:
    """Execute what the cache does not hold; what fails here is tried again, and said, by Sphinx."""
    cache = get_cache(BUILD / ".jupyter_cache")
    for folder in (ROOT / "book", ROOT / "book" / "solutions"):
        for path in sorted(folder.glob("*.ipynb")):
            cache.add_nb_to_project(str(path))
    records = [(r.pk, r.uri) for r in cache.list_unexecuted()]
    with Pool(AT_ONCE) as pool:
        jobs = [ProcessData(*record, cache, LONGEST_S, False) for record in records]
        pool.map(ExecutionWorkerLocalMProc(), jobs, chunksize=1)


def run_jupyter_book() -> int:
    """Build the site; warnings are errors, and a failing notebook is a warning."""
    program = str(Path(sys.executable).with_name("jupyter-book"))
    command = [program, "build", "book", "--config", "_config.yml", "--path-output", "."]
    command += ["-W", "-n", "--keep-going"]
    return subprocess.run(command, cwd=ROOT).returncode


def report_failures() -> None:
    """Print the traceback of each notebook that failed, and see that it is executed again."""
    shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
    for report in sorted((BUILD / "html" / "reports").rglob("*.log")):
        print(f"\n--- {report.relative_to(ROOT)}\n{report.read_text()[-3000:]}", file=sys.stderr)


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


def main() -> int:
    started = time.monotonic()
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel
    os.environ["OMP_NUM_THREADS"] = "1"  # two pages with two threads each would wait for each other
    forget_stale_results()
    execute_notebooks()
    if code := run_jupyter_book():
        report_failures()
        return code
    costs = collect_costs()
    mend_pages(costs)
    seconds = time.monotonic() - started
    record = {"build_seconds": round(seconds), "pages": costs}
    (BUILD / "costs.json").write_text(json.dumps(record, indent=1) + "\n")
    print(f"\nThe book: {BUILD / 'html' / 'index.html'}\nBuilt in {seconds / 60:.1f} minutes.")
    return subprocess.run([sys.executable, str(ROOT / "book" / "editions.py"), "slides"]).returncode


if __name__ == "__main__":
    sys.exit(write_readme() if "--readme" in sys.argv else main())
