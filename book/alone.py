"""Where every page is executed: an environment that has the wheel only, as a reader's has.

The book is built from what an installation brings, never from the checkout. Each kernel believes
that it runs on Colab, so that the first cell of a page runs as well; its ``%pip`` installs nothing.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

SOURCES = ("helpers", "data", "book")
TEXTS = ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text")
NOT_COPIED = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
FIRST_YEAR_OF_ZIP = "315532800"  # 1980, in seconds since 1970: the same wheel on every day

LENT_JUPYTER = Path(sysconfig.get_path("data")) / "share" / "jupyter"  # kernels and templates

# What every kernel executes before a page.
ON_COLAB = "import google.colab\n"
NO_PIP = """
from IPython import get_ipython

get_ipython().register_magic_function(lambda line: None, "line", "pip")
"""


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the wheel of the package in `root`, from a copy: a build leaves files behind."""
    with tempfile.TemporaryDirectory() as place:
        for name in SOURCES:
            shutil.copytree(root / name, Path(place) / name, ignore=NOT_COPIED)
        for name in TEXTS:
            shutil.copy(root / name, place)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
        command += ["--no-build-isolation", "--wheel-dir", str(folder), place]
        variables = os.environ | {"SOURCE_DATE_EPOCH": FIRST_YEAR_OF_ZIP}
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the wheel was not built: {done.stdout[-500:]}{done.stderr[-2000:]}")
    return next(folder.glob("rvae_stem_book-*.whl"))


def new_environment(home: Path, *wheels: Path) -> Path:
    """Make an environment with these wheels; return its python.

    The packages of others are lent by this environment, its editable install of the checkout is
    not: a path that is named in a ``.pth`` file is searched, but its own such files are not read.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    for wheel in wheels:
        subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(home)})
    lent = sysconfig.get_path("purelib")
    (Path(packages) / "lent.pth").write_text(lent + "\n")
    return python


def as_on_colab(folder: Path, *, pip: bool) -> dict[str, str]:
    """Make a stub of Colab's module in `folder`; the variables that let each kernel load it.

    Without `pip`, the magic of that name does nothing.
    """
    startup = folder / "ipython" / "profile_default" / "startup"
    stub = folder / "google" / "colab"
    startup.mkdir(parents=True)
    stub.mkdir(parents=True)
    (stub / "__init__.py").touch()
    (startup / "00-colab.py").write_text(ON_COLAB if pip else ON_COLAB + NO_PIP)
    return {"PYTHONPATH": str(folder), "IPYTHONDIR": str(folder / "ipython")}


def environment_of_pages(root: Path, home: Path) -> tuple[Path, dict[str, str]]:
    """The python that executes the pages, made anew in `home`, and its environment variables."""
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory() as place:
        wheel = build_wheel(root, Path(place))
        python = new_environment(home / "environment", wheel)
    variables = os.environ | as_on_colab(home / "colab", pip=False)
    variables["JUPYTER_PATH"] = str(LENT_JUPYTER)
    if own_folder := variables.get("RVAE_STEM_DATA"):  # from an empty folder it must be absolute
        variables["RVAE_STEM_DATA"] = str((root / own_folder).resolve())
    ask = [str(python), "-c", "import helpers; print(helpers.__file__)"]
    found = subprocess.run(ask, cwd=home, env=variables, capture_output=True, text=True)
    if not Path(found.stdout.strip()).is_relative_to(home):
        raise RuntimeError(f"the pages would not use the wheel: {found.stdout}{found.stderr}")
    return python, variables
