"""Notebooks and command run where there is no checkout: on Colab, on Binder, from a wheel."""

import ast
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from test_book import AT_TAG, BOOK, PAGES, REPOSITORY, SOLUTIONS, cells_of, notebook_file

from helpers import fetch, load_image

ROOT = BOOK.parent
# Executed from top to bottom: the sample, a shipped program, a real file that is not there.
WHOLE = ["00_check_conventions", "01_load_stack", "15_map_alloy", "solutions/16_map_perovskite"]
INSTALL = f"install -q git+{REPOSITORY['url']}{AT_TAG}"
LAST = {"cell_type": "code", "id": "where", "metadata": {}, "outputs": [], "execution_count": None}
LAST["source"] = "import helpers\nprint('from', helpers.__file__)"


@pytest.fixture(scope="module")
def as_on_colab(tmp_path_factory):
    """Environment variables under which each kernel has loaded a stub of Colab's module."""
    folder = tmp_path_factory.mktemp("colab")
    startup = folder / "ipython" / "profile_default" / "startup"
    for new in (folder / "google" / "colab", startup):
        new.mkdir(parents=True)
    (folder / "google" / "colab" / "__init__.py").touch()
    (startup / "00-colab.py").write_text("import google.colab\n")
    return {"PYTHONPATH": str(folder), "IPYTHONDIR": str(folder / "ipython")}


@pytest.fixture(scope="module")
def tagged(clone):
    """The clone, with the tag that the Colab cell asks for."""
    if AT_TAG:
        subprocess.run(["git", "tag", AT_TAG[1:]], cwd=clone, check=True)
    return clone


def run(command, folder, variables):
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def copy_for_colab(name, folder, address):
    """The notebook, with a local address in its Colab cell, and a last cell that says what ran."""
    text = (BOOK / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text.count(f"%pip {INSTALL}") == 1
    offline = "install -q --no-deps --no-index --no-build-isolation"
    notebook = json.loads(text.replace(INSTALL, f"{offline} git+{address}{AT_TAG}"))
    notebook["cells"].append(LAST)
    path = folder / f"{Path(name).name}.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def printed(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join(line for output in outputs for line in output.get("text", []))


@pytest.mark.parametrize("name", WHOLE)
def test_notebook_runs_alone_and_installs_what_it_needs(
    name, tagged, new_environment, bare_variables, as_on_colab, tmp_path
):
    python = new_environment()
    nothing = "import importlib.util as u; print(u.find_spec('helpers'))"
    assert run([python, "-c", nothing], tmp_path, bare_variables).strip() == "None"
    path = copy_for_colab(name, tmp_path, tagged.as_uri())
    execute = [python, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", path]
    run(execute, tmp_path, bare_variables | as_on_colab)
    said = printed(path)
    assert re.search(r"This page ran in \d+ s", said)
    where = Path(re.search(r"^from (.*)$", said, re.MULTILINE)[1])
    assert where.is_relative_to(python.parents[1])


@pytest.fixture(scope="module")
def parts(elsewhere, as_on_colab, tmp_path_factory):
    """What came of the Colab cells, imports and files of all notebooks, in copies of them."""
    folder = tmp_path_factory.mktemp("parts")
    names = [f"{name}.ipynb" for name in PAGES + SOLUTIONS]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(BOOK / name, folder / name)
    variables = {"RVAE_STEM_OFFLINE": "1", "RVAE_STEM_CACHE": str(folder / "cache")}
    program = ROOT / "tests" / "notebook_parts.py"
    said = run([elsewhere, "-P", program, *names], folder, variables | as_on_colab)
    return json.loads(said.splitlines()[-1])


@notebook_file
def test_notebook_imports_and_fetches_without_the_checkout(parts, name):
    found = parts[f"{name}.ipynb"]
    assert found["pip"] == [INSTALL]
    assert not found["failed"]


def brought_by_the_wheel():
    """Names of all distributions that a plain install of this package brings."""
    brought, new = set(), {"rvae-stem-book"}
    while new:
        name = new.pop()
        brought.add(name)
        try:
            needed = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # for another system
            continue
        plain = [one for one in needed if not one.marker or one.marker.evaluate({"extra": ""})]
        new |= {re.sub(r"[-_.]+", "-", one.name).lower() for one in plain} - brought
    return brought


@notebook_file
def test_notebook_imports_only_what_the_wheel_brings(name):
    """This environment has more, for the tests and the book: its packages must not slip in."""
    tree = ast.parse("\n".join(cell.source for cell in cells_of(name, "code")[1:]))
    names = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    owners, brought = packages_distributions(), brought_by_the_wheel()
    for top in {one.split(".")[0] for one in names} - sys.stdlib_module_names - {"helpers"}:
        found = {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners[top]}
        assert found & brought, f"{top} is in no dependency of pyproject.toml"


def test_command_analyses_a_file_without_the_checkout(elsewhere, bare_variables, tmp_path):
    stack = load_image(fetch("sr3fe2o7_stack.hspy"))
    stack.inav[0].isig[:512, :512].save(tmp_path / "mine.hspy")
    command = [elsewhere, "-m", "helpers", "analyse", "mine.hspy"]
    run(command, tmp_path, bare_variables)
    found = {path.name for path in (tmp_path / "mine_symmetry").iterdir()}
    assert found == {"results", "figures", "report.html"}
    report = (tmp_path / "mine_symmetry" / "report.html").read_text(encoding="utf-8")
    assert "mine.hspy" in report and report.count("<img") >= 3
    assert str(ROOT) not in report


def test_binder_builds_from_the_environment_file(clone, tmp_path):
    """The recipe that repo2docker, Binder's builder, makes of the clone; no docker is needed."""
    shutil.copytree(clone, tmp_path / "clone")
    program = Path(sys.executable).with_name("jupyter-repo2docker")
    command = [program, "--debug", "--no-build", "."]
    recipe = run(command, tmp_path / "clone", None)
    assert re.search(r'env update .* --file "environment.yml"', recipe)
    assert "CONDA_DEFAULT_ENV" in recipe
