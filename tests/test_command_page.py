"""The page as a program: parameters, the errors it ends with, what its kernel must not run."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from helpers.command import page as page_module
from helpers.command.page import PAGE, execute_page
from helpers.command.stop import Stop

ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = next(
    cell.source
    for cell in nbformat.read(ROOT / "book" / PAGE, as_version=4).cells
    if "parameters" in cell.metadata.get("tags", ())
)


def write_page(path, *sources):
    """A small page, of a cell with parameters and these."""
    first = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    cells = [new_code_cell(source, metadata={"tags": ["report"]}) for source in sources]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=[first, *cells], metadata={"kernelspec": kernel})
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """A function that executes a small page, which lies where braces are in the path."""

    def execute(*sources, **parameters):
        page = write_page(tmp_path / "{x} {}" / "page.ipynb", *sources)
        monkeypatch.setattr(page_module, "page_file", lambda: page)
        return execute_page(parameters, Stop())

    return execute


def test_parameters_arrive_as_they_are_and_the_kernel_works_in_an_empty_folder(
    execute, tmp_path, monkeypatch
):
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep + os.environ.get("PYTHONPATH", ""))
    image = "/a/{x} $5 \"'` \\n Å\udce9\n.tif"
    source = "import os, sys, tempfile, numpy\nprint(ascii([image, os.listdir(), os.getcwd()]))"
    source += "\nprint(tempfile.gettempdir() == os.getcwd())\nopen('left.txt', 'w')"
    notebook = execute(source, image=image)
    printed = notebook.cells[-1].outputs[0].text.splitlines()
    found, listed, place = eval(printed[0])
    assert found == image and listed == [] and printed[1] == "True"
    assert not Path(place).exists() and Path(place) != tmp_path


DEADLY = {
    "os.kill(os.getpid(), signal.SIGSEGV)": r"a\.tif ended the process .*SIGSEGV.*untrusted=True",
    "os.kill(os.getpid(), signal.SIGKILL)": r"a\.tif was killed, .*memory runs out: crop it",
    "os._exit(3)": r"a\.tif ended the process .*status 3.*Export it again",
}


@pytest.mark.parametrize("source", DEADLY)
def test_a_kernel_that_dies_is_an_error_with_a_way_out(source, execute, capfd):
    with pytest.raises(ValueError, match=DEADLY[source]):
        execute(f"import os, signal\n{source}", image="a.tif")
    lines = capfd.readouterr().err.splitlines()  # nothing but the bar
    assert not [line for line in lines if line and "Executing" not in line]


def test_a_kernel_that_never_starts_is_an_error(execute, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(ValueError, match="the kernel did not start .*: try again"):
        execute("1", image="a.tif")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise ValueError('use less')", "^use less$"),
        ("raise FileNotFoundError('no file')", "^no file$"),
        ("1 / 0", "^ZeroDivisionError: division by zero$"),
    ],
)
def test_the_words_of_an_error_are_those_of_the_page(source, says, execute):
    with pytest.raises(ValueError, match=says):
        execute(source, "raise ValueError('another')", image="a.tif")


def test_a_parameter_that_the_page_does_not_have_is_refused(execute):
    with pytest.raises(ValueError, match="tomorrow, window: the page .* has no such parameter"):
        execute("1", image="a.tif", window=40, tomorrow=1)


# ------------------------------------------------------------ files beside the data

HARMFUL = "import pathlib\n\npathlib.Path({place!r}).touch()\nraise SystemExit(9)\n"


def console_script(folder):
    """The program that an installation makes of the line in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, name = project["scripts"]["rvae-stem"].split(":")
    path = folder / "rvae-stem"
    text = f"#!{sys.executable}\nimport sys\nfrom {module} import {name}\nsys.exit({name}())\n"
    path.write_text(text)
    return path


@pytest.mark.parametrize("way", ["console script", "module"])
def test_a_library_beside_the_data_is_not_run(way, tmp_path):
    data, bin_ = tmp_path / "data", tmp_path / "bin"
    data.mkdir()
    bin_.mkdir()
    (data / "empty.tif").touch()
    ran = tmp_path / "ran"
    for name in ("psutil", "numpy", "json", "nbformat", "sitecustomize_", "zmq", "random"):
        (data / f"{name}.py").write_text(HARMFUL.format(place=str(ran)))
    command = [sys.executable, console_script(bin_)]
    variables = dict(os.environ)
    if way == "module":
        command = [sys.executable, "-m", "helpers"]
    else:  # an empty place in this list means the current folder
        variables["PYTHONPATH"] = os.pathsep + variables.get("PYTHONPATH", "")
    done = subprocess.run(
        [*command, "analyse", "empty.tif"],
        cwd=data,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "empty.tif could not be read" in done.stderr, done.stderr
    assert not ran.exists() and not list(data.glob("empty_*"))
