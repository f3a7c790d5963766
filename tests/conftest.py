"""Shared settings: tests never download, and use real files from a folder beside the checkout.

And what "elsewhere" is: a clone, the wheel built from it, environments without the checkout.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import alone
import matplotlib
import pytest

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("RVAE_STEM_OFFLINE", "1")
if (ROOT / "../shared/data").is_dir():
    os.environ.setdefault("RVAE_STEM_DATA", str((ROOT / "../shared/data").resolve()))


@pytest.fixture(autouse=True)
def leave_no_figures():
    """No test sees the figures, or the style, of another."""
    with matplotlib.rc_context():
        yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def real_file():
    """A function that returns the path of a registered real file, or skips the test without it."""
    from helpers import fetch

    def path_of(name: str) -> Path:
        try:
            return fetch(name)
        except FileNotFoundError:
            pytest.skip(f"real file absent: {name}")

    return path_of


@pytest.fixture(scope="session")
def clone(tmp_path_factory):
    """What somebody else clones: a copy of the files that git knows or would add, committed."""
    from test_project import tracked_files

    folder = tmp_path_factory.mktemp("clone")
    for path in tracked_files():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    git += ["-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "All"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def wheel(clone, tmp_path_factory):
    """The wheel of the clone."""
    return alone.build_wheel(clone, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def new_environment(tmp_path_factory):
    """A function that makes a fresh environment, installs wheels there, and returns its python."""

    def make(*wheels: Path) -> Path:
        return alone.new_environment(tmp_path_factory.mktemp("environment"), *wheels)

    return make


@pytest.fixture(scope="session")
def elsewhere(wheel, new_environment):
    """The python of an environment that has the wheel and not the checkout."""
    return new_environment(wheel)


@pytest.fixture(scope="session")
def bare_variables(tmp_path_factory):
    """Environment variables of somebody who has set none, and has no network and no real file."""
    ours = ("RVAE_STEM_", "PYTHON", "JUPYTER", "IPYTHON", "MPLBACKEND")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    kept |= {"JUPYTER_PATH": str(alone.LENT_JUPYTER), "JUPYTER_PREFER_ENV_PATH": "1"}
    cache = tmp_path_factory.mktemp("cache")
    return kept | {"RVAE_STEM_OFFLINE": "1", "RVAE_STEM_CACHE": str(cache)}
