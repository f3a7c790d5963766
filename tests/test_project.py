"""The top level: one address, sizes, forbidden words, and what `import helpers` costs."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
URL, BRANCH = CONFIG["url"], CONFIG["branch"]  # the tag of a release, or main
AT_TAG = "" if BRANCH == "main" else f"@{BRANCH}"
NAME = URL.removeprefix("https://github.com/")
TEXT = {".md", ".ipynb", ".yml", ".cff", ".toml", ".py"}
HELPERS = sorted((ROOT / "helpers").rglob("*.py"))
# The words are put together here, so that this file does not contain them.
FORBIDDEN = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "NotImplemented" + "Error"]))
FORBIDDEN_ANYWHERE = re.compile("place" + "holder", re.IGNORECASE)


def tracked_files():
    """Files of the repository: those git knows or would add; without git, those of the folder."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        hidden = {".venv", "_build", "__pycache__", ".git"}
        return [p for p in ROOT.rglob("*") if p.is_file() and not hidden & set(p.parts)]
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("README.md", f"pip install git+{URL}{AT_TAG}`"),
        ("README.md", f"https://mybinder.org/v2/gh/{NAME}/{BRANCH}?"),
        ("README.md", f"https://colab.research.google.com/github/{NAME}/blob/{BRANCH}/book/"),
        ("CITATION.cff", f"repository-code: {URL}\n"),
        ("CONTRIBUTING.md", f"%pip install -q git+{URL}{AT_TAG}\n"),
        ("book/setup.md", f"git clone {URL}\n"),
        ("book/setup.md", f"pip install git+{URL}{AT_TAG}\n"),
    ],
)
def test_address_is_repeated_as_in_the_configuration(file, form):
    assert form in (ROOT / file).read_text(encoding="utf-8")


def test_no_other_address_of_the_repository():
    folder = NAME.split("/")[1]
    for path in tracked_files():
        if path.suffix in TEXT:
            text = path.read_text(encoding="utf-8")
            found = re.findall(rf"[\w.-]+/{folder}\b", text)
            assert set(found) <= {NAME}, f"{path}: {set(found)}"


def test_no_link_names_another_release():
    """All follow the branch in the configuration, which ``make release`` sets with them."""
    launch = re.compile(rf"/(?:gh|github)/{NAME}/(?:blob/)?([\w.-]+)[/?]")
    install = re.compile(rf"git\+{URL}(@[\w.]+)?")
    for path in tracked_files():
        if path.suffix in {".md", ".ipynb"}:
            text = path.read_text(encoding="utf-8")
            assert set(launch.findall(text)) <= {BRANCH}, path
            assert set(install.findall(text)) <= {AT_TAG}, path


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_names_what_exists_and_pins_its_actions(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for step in [step for job in workflow["jobs"].values() for step in job["steps"]]:
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1"))
        command = step.get("run", "")
        for name in re.findall(r"\b(?:book|data|helpers|tests)/[\w./-]+", command):
            assert (ROOT / name).exists(), name
        assert set(re.findall(r"\bmake ([\w-]+)", command)) <= set(targets)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


def test_readme_lists_every_page_with_measured_costs():
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- costs -->")[1]
    rows = re.findall(r"\[(.+?)\]\(book/(\w+)\.ipynb\) \| (\d+) s \| (\d\.\d\d) GiB \|", table)
    pages = sorted((ROOT / "book").glob("*.ipynb"))
    assert [row[1] for row in rows] == [page.stem for page in pages], "run: make costs"
    for (title, *_), page in zip(rows, pages, strict=True):
        head = json.loads(page.read_text(encoding="utf-8"))["cells"][0]["source"]
        assert "".join(head).startswith(f"# {title}\n"), "run: make costs"


def test_no_forbidden_words():
    for path in tracked_files():
        inside = path.relative_to(ROOT)
        if inside.parts[0] in {"helpers", "book", "tests"} and path.suffix in TEXT:
            text = path.read_text(encoding="utf-8")
            for words in (FORBIDDEN, FORBIDDEN_ANYWHERE):
                assert not words.search(text), f"{inside}: {words.search(text)[0]}"


def test_import_is_light():
    code = "import sys, helpers; print({'torch', 'hyperspy', 'matplotlib'} & set(sys.modules))"
    assert run_python(code).strip() == "set()"


def test_every_public_name_can_be_imported():
    import helpers

    for name in helpers.__all__:
        assert getattr(helpers, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        helpers.no_such_name  # noqa: B018


def test_repository_is_small():
    size = sum(path.stat().st_size for path in tracked_files())
    assert size < 30 * 1024**2, f"{size / 1024**2:.1f} MiB"


def test_no_folder_named_static():
    assert not (ROOT / "book" / "_static").exists(), "each script in it would land on every page"


def test_ruff():
    for arguments in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "."]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_build_puts_measured_costs_on_the_pages(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("build", ROOT / "book" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "a.ipynb").touch()
    page = tmp_path / "html" / "a.html"
    page.parent.mkdir()
    span = '<span class="page-cost" data-page="a">{}</span>'
    printed = "<pre>This page ran in 7 s and used 0.25 GiB at its peak.</pre>"
    page.write_text(span.format("what <b>was</b>") + printed)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "BUILD", tmp_path)
    costs = build.collect_costs()
    assert costs == {"a": {"seconds": 7, "gib": 0.25}}
    for _ in range(2):  # filling in twice changes nothing
        build.mend_pages(costs)
        assert page.read_text() == span.format("7 s and 0.25 GiB") + printed


def test_the_tables_of_the_benchmark_page_come_from_its_results(tmp_path, monkeypatch):
    """Written anew from the stored results, the page stays as it is: no number was typed."""
    monkeypatch.syspath_prepend(ROOT / "tests" / "benchmarks")
    bounds, report = (importlib.import_module(name) for name in ("bounds", "report"))
    book, names = ROOT / "book", ("benchmark.md", "benchmark_columns.md")
    for name in names:
        (tmp_path / name).write_text((book / name).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(report, "PAGE", tmp_path / names[0])
    stored = {
        name: json.loads((book / "_assets" / f"{name}.json").read_text())
        for name in ("benchmark", "bounds", "columns")
    }
    report.write_page(stored["benchmark"])
    report.write_bounds(stored["bounds"], bounds.BOUNDS)
    report.write_columns(stored["columns"])
    for name in names:
        again = (tmp_path / name).read_text(encoding="utf-8")
        assert again == (book / name).read_text(encoding="utf-8")


def test_folders_import_only_from_those_below_them():
    """The contract stands in pyproject.toml."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_folder_offers_what_its_stub_says():
    import helpers

    folders = [path.parent.name for path in (ROOT / "helpers").glob("*/__init__.pyi")]
    assert len(folders) == 9
    for folder in folders:
        module = importlib.import_module(f"{helpers.__name__}.{folder}")
        assert module.__all__
        for name in module.__all__:
            assert getattr(module, name) is not None
