"""Notebooks and command run where there is no checkout: on Colab, on Binder, from a wheel.

The build has executed every page from the wheel, in a folder of its own. Here are those that go
another way where the files of others are not to be had, and what comes before: the installation.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import alone
import pytest
from packaging.requirements import Requirement
from test_book import AT_TAG, BOOK, PAGES, REPOSITORY, SOLUTIONS, cells_of, notebook_file

from helpers import fetch, load_image
from helpers.files.folder import MARK

ROOT = BOOK.parent
REGISTRY = (ROOT / "data" / "registry.txt").read_text(encoding="utf-8")
NOT_SHIPPED = re.findall(r"^(\S+) sha256:\S+ https:", REGISTRY, re.MULTILINE)
AT_ONCE = 2  # notebooks, with one thread each, as when the book is built
LONGEST_S = 300  # of a cell
INSTALL = f"install -q git+{REPOSITORY['url']}{AT_TAG}"
LAST = {"cell_type": "code", "id": "where", "metadata": {}, "outputs": [], "execution_count": None}
LAST["source"] = "import helpers\nprint('from', helpers.__file__)"


@pytest.fixture(scope="module")
def as_on_colab(tmp_path_factory):
    """Variables under which each kernel has loaded a stub of Colab's module."""
    return alone.as_on_colab(tmp_path_factory.mktemp("colab"), pip=True)


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


def absent_files(name):
    """Files that a notebook uses and that are not shipped: on Colab others stand in for them."""
    code = "\n".join(cell.source for cell in cells_of(name, "code"))
    return [file for file in NOT_SHIPPED if file in code]


def copy_for_colab(name, folder, clone):
    """The notebook; its Colab cell asks for the clone, a last cell says which helpers ran."""
    text = (clone / "book" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text.count(f"%pip {INSTALL}") == 1
    offline = "install -q --no-deps --no-index --no-build-isolation"
    notebook = json.loads(text.replace(INSTALL, f"{offline} git+{clone.as_uri()}{AT_TAG}"))
    notebook["cells"].append(LAST)
    path = folder / f"{Path(name).name}.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def printed(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join(line for output in outputs for line in output.get("text", []))


@pytest.fixture(scope="module")
def executed(request, tagged, new_environment, bare_variables, as_on_colab, tmp_path_factory):
    """Of each notebook to be tested: what comes of it alone, in an environment of its own.

    There pip builds this package from the clone and installs it. Unlike on Colab, it leaves out
    the dependencies, for want of a network: the packages of others are borrowed.
    """
    variables = bare_variables | as_on_colab | {"OMP_NUM_THREADS": "1"}

    def execute(name):
        folder, python = tmp_path_factory.mktemp("alone"), new_environment()
        nothing = "import importlib.util as u; print(u.find_spec('helpers'))"
        assert run([python, "-c", nothing], folder, variables).strip() == "None"
        path = copy_for_colab(name, folder, tagged)
        command = [python, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", path]
        run([*command, f"--ExecutePreprocessor.timeout={LONGEST_S}"], folder, variables)
        home = python.parents[1]
        shutil.rmtree(home)
        return path, home

    tests = [test for test in request.session.items if "executed" in test.fixturenames]
    names = [test.callspec.params["name"] for test in tests]
    pool = ThreadPoolExecutor(AT_ONCE)
    yield {name: pool.submit(execute, name) for name in names}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", [name for name in PAGES + SOLUTIONS if absent_files(name)])
def test_a_page_without_the_files_of_others_runs_with_what_it_installs(executed, name):
    path, home = executed[name].result()
    said = printed(path)
    assert Path(re.search(r"^from (.*)$", said, re.MULTILINE)[1]).is_relative_to(home)
    assert re.search(r"This page ran in \d+ s", said)
    absent = absent_files(name)
    assert said.count("SIMULATED") >= len(absent), f"what stands in for {absent}?"
    assert list(path.parent.iterdir()) == [path], "a notebook leaves nothing in its folder"


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
    command = [elsewhere.with_name("rvae-stem"), "analyse", "mine.hspy"]
    run(command, tmp_path, bare_variables)
    found = {path.name for path in (tmp_path / "mine_symmetry").iterdir()}
    assert found == {"results", "figures", "report.html", MARK}
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
