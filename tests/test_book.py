"""Rules for the sources of the book; CONTRIBUTING.md explains them ("A page")."""

import ast
import copy
import re
from pathlib import Path

import nbformat
import nbstripout
import pytest
import yaml

BOOK = Path(__file__).resolve().parents[1] / "book"
CONFIG = yaml.safe_load((BOOK.parent / "_config.yml").read_text(encoding="utf-8"))
TOC = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
IN_TOC = [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]

PAGES = sorted(path.stem for path in BOOK.glob("*.ipynb"))
SOLUTIONS = sorted(f"solutions/{path.stem}" for path in (BOOK / "solutions").glob("*.ipynb"))
TEXTS = sorted(path.name for path in BOOK.glob("*.md"))

REPOSITORY = CONFIG["repository"]
AT_TAG = "" if REPOSITORY["branch"] == "main" else f"@{REPOSITORY['branch']}"
COLAB = f"""\
# On Colab only: install what this page needs.
import sys

if "google.colab" in sys.modules:
    %pip install -q git+{REPOSITORY["url"]}{AT_TAG}"""
LAST = "from helpers.timing import report_cost\n\nreport_cost()"
HEADINGS = [
    "## What you will do",
    "## Before you start",
    "## What can go wrong",
    "## Exercises",
    "### Exercise 1",
    "### Exercise 2",
    "## Summary",
    "## What's next",
]
ONE_MACHINE = re.compile(r"/(home|root|tmp|work|content|mnt)/|/Users/|\b[A-Z]:\\")
PERSONAL_DRIVE = re.compile(
    r"drive\.google|colab import drive|dropbox|onedrive|1drv\.ms|sharepoint|wetransfer",
    re.IGNORECASE,
)

CONVENTIONS = "00_check_conventions"  # this page proves by asserts, and trains nothing
EXACT_CALLS = {"array_equal", "exists", "is_file", "is_dir"}

page = pytest.mark.parametrize("name", PAGES)
notebook_file = pytest.mark.parametrize("name", PAGES + SOLUTIONS)
source_file = pytest.mark.parametrize("name", [f"{n}.ipynb" for n in PAGES + SOLUTIONS] + TEXTS)


def read(name):
    return nbformat.read(BOOK / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


def cells_of(name, kind):
    return [cell for cell in read(name).cells if cell.cell_type == kind]


def lines_of(name):
    """All lines of the markdown cells, code fences left out."""
    text = "\n".join(cell.source for cell in cells_of(name, "markdown"))
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines()


def test_every_page_is_in_the_table_of_contents_and_exists():
    assert sorted(f for f in IN_TOC if (BOOK / f"{f}.ipynb").exists()) == sorted(PAGES + SOLUTIONS)
    gone = [f for f in IN_TOC if not list(BOOK.glob(f"{f}.*"))]
    assert not gone, f"in _toc.yml, but not there: {gone}"


def test_every_page_has_solutions():
    assert [f"solutions/{name}" for name in PAGES] == SOLUTIONS


def test_figure_names_are_unique():
    cells = [cell for name in PAGES + SOLUTIONS for cell in cells_of(name, "code")]
    names = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells]
    names = [name for name in names if name]
    assert len(names) == len(set(names)), sorted(n for n in set(names) if names.count(n) > 1)


@notebook_file
def test_notebook_is_stored_clean(name):
    notebook = read(name)
    assert all(not c.outputs and c.execution_count is None for c in cells_of(name, "code"))
    stripped = nbstripout.strip_output(copy.deepcopy(notebook), False, False, keep_id=True)
    assert stripped == notebook, "run: nbstripout --keep-id on it"
    identifiers = [cell.get("id") for cell in notebook.cells]
    assert None not in identifiers and len(set(identifiers)) == len(identifiers)
    assert notebook.metadata.kernelspec.name == "python3"


@notebook_file
def test_first_and_last_code_cell(name):
    first, *_, last = cells_of(name, "code")
    assert first.source == COLAB
    assert "hide-input" in first.metadata.get("tags", [])
    assert read(name).cells[-1] == last and last.source == LAST


@notebook_file
def test_code_is_short(name):
    for cell in cells_of(name, "code"):
        assert len(cell.source.splitlines()) <= 15, cell.source
        python = re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE)
        for node in ast.walk(ast.parse(python)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 5, f"def {node.name} belongs in helpers"


def is_exact(test):
    """Whether rounding cannot move what is asserted: two things are the same, a file exists."""
    if isinstance(test, ast.BoolOp):
        return all(is_exact(value) for value in test.values)
    if isinstance(test, ast.UnaryOp):
        return is_exact(test.operand)
    if isinstance(test, ast.Call):
        return getattr(test.func, "attr", getattr(test.func, "id", "")) in EXACT_CALLS
    if not isinstance(test, ast.Compare):
        return False
    numbers = [n for n in ast.walk(test) if isinstance(getattr(n, "value", None), int | float)]
    same = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)
    return not numbers and all(isinstance(op, same) for op in test.ops)


def tolerances_in(source):
    """Asserts on a result, which another processor may round otherwise."""
    python = re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
    nodes = list(ast.walk(ast.parse(python)))
    asserts = [n for n in nodes if isinstance(n, ast.Assert) and not is_exact(n.test)]
    names = [n for n in nodes if isinstance(n, ast.Attribute | ast.Name)]
    calls = [n for n in names if getattr(n, "attr", getattr(n, "id", "")).startswith("assert_")]
    return [ast.unparse(node) for node in asserts + calls]


@pytest.mark.parametrize(
    "name", [name for name in PAGES + SOLUTIONS if name.removeprefix("solutions/") != CONVENTIONS]
)
def test_no_cell_holds_a_tolerance_on_a_result(name):
    held = [found for cell in cells_of(name, "code") for found in tolerances_in(cell.source)]
    assert not held, f"print it, and put the bound into tests/claims.py: {held}"


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ("assert right > 0.97", True),
        ("assert right[24] < right[40]", True),
        ("assert abs(a_nm / 0.385 - 1) < 0.01 and real", True),
        ("assert np.allclose(one, two)", True),
        ("assert all(np.isclose(one, two, atol=1e-3))", True),
        ("np.testing.assert_allclose(one, two)", True),
        ("assert steps.argmax() == 3", True),
        ("assert orders == [1, 2, 1]", True),
        ("assert np.mean(low) in (0, 1)", True),
        ("assert report.warnings", True),
        ("if real:\n    assert error < 2", True),
        ("assert image.shape == again.shape", False),
        ("assert np.array_equal(loaded.encode(stack).latent, latent)", False),
        ("assert path.exists() and not other.exists()", False),
        ("%pip install -q numpy\nassert loaded is not None", False),
    ],
)
def test_a_tolerance_is_found(source, held):
    assert bool(tolerances_in(source)) == held


@notebook_file
def test_figures_have_alt_text_and_caption(name):
    for cell in cells_of(name, "code"):
        settings = cell.metadata.get("mystnb", {})
        alt = settings.get("image", {}).get("alt", "")
        figure = settings.get("figure", {})
        draws = bool(settings) or "plt.show()" in cell.source
        if draws:
            assert len(alt) >= 20, f"what is seen? {cell.source}"
            assert len(figure.get("caption", "")) >= 10, f"what does it mean? {cell.source}"
            assert figure.get("name", "").startswith("fig-"), f"no name: {cell.source}"
            assert alt != figure["caption"]
        if re.search(r"^Player\(", cell.source, flags=re.MULTILINE):
            assert "caption" in cell.source, f"what does it mean? {cell.source}"


@source_file
def test_no_path_of_one_machine_and_no_personal_drive(name):
    text = (BOOK / name).read_text(encoding="utf-8")
    assert not ONE_MACHINE.search(text), ONE_MACHINE.search(text)[0]
    assert not PERSONAL_DRIVE.search(text), PERSONAL_DRIVE.search(text)[0]


@page
def test_page_size(name):
    cells, code = read(name).cells, cells_of(name, "code")
    assert 25 <= len(cells) <= 40, f"{len(cells)} cells"
    assert len(code) <= 18, f"{len(code)} code cells"
    text = re.sub(r"\]\([^)]*\)|<[^>]*>", "] ", "\n".join(lines_of(name)))
    words = len(re.findall(r"\b\w[\w'’.-]*", text))
    assert 600 <= words <= 1300, f"{words} words"


@page
def test_page_has_its_parts_in_order(name):
    lines = [line.strip() for line in lines_of(name)]
    missing = [heading for heading in HEADINGS if lines.count(heading) != 1]
    assert not missing, f"not there exactly once: {missing}"
    places = [lines.index(heading) for heading in HEADINGS]
    assert places == sorted(places)
    assert sum(line.startswith("# ") for line in lines) == 1 and lines[0].startswith("# ")


@page
def test_page_head(name):
    head = read(name).cells[0].source
    objectives = head.split("## What you will do")[1].split("## ")[0]
    assert len(re.findall(r"^- ", objectives, flags=re.MULTILINE)) == 3
    assert "|---" in head.split("## Before you start")[1].replace(" ", "")
    assert re.search(r"Reading takes \d+ minutes\. Running takes", head)
    span = f'<span class="page-cost" data-page="{name}">what the last cell prints</span>'
    assert span in head.replace("\n", " ")


@page
def test_page_lets_the_reader_predict_and_practise(name):
    cells = read(name).cells
    predicts = [i for i, c in enumerate(cells) if "> **Predict before you run.**" in c.source]
    assert len(predicts) >= 2
    for i in predicts:
        assert "code" in [cell.cell_type for cell in cells[i + 1 : i + 3]], (
            "nothing to run after it"
        )
    text = "\n".join(lines_of(name))
    assert text.count(f"(solutions/{name}.ipynb)") >= 2


@pytest.mark.parametrize("name", SOLUTIONS)
def test_solutions_answer_both_exercises(name):
    lines = [line.strip() for line in lines_of(name)]
    assert lines[0].startswith("# ")
    assert lines.count("## Exercise 1") == 1 and lines.count("## Exercise 2") == 1
