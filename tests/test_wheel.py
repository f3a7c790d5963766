"""A plain install elsewhere has all that is shipped: the wheel, in a fresh environment, works."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

SCRIPT = """
import sys
from pathlib import Path

import hyperspy.api as hs

import helpers
from helpers.simulate.scan import scan_specimen

sys.path.insert(0, str(helpers.fetch("specimen.py").parent))
from specimen import single_crystal

hs.set_log_level("ERROR")
assert Path(helpers.__file__).is_relative_to(sys.prefix), helpers.__file__
for name in sys.argv[1:]:
    assert helpers.fetch(name).is_relative_to(sys.prefix), name
stack = helpers.load_image(helpers.fetch("sr3fe2o7_stack.hspy"))
probability = helpers.segment(stack.inav[0].isig[:256, :256])
assert probability.shape == (256, 256) and probability.max() > 0.5
frames, truth = scan_specimen(single_crystal(shape=(128, 160), seed=3), 2, seed=3)
assert frames.shape == (2, 128, 160) and frames.mean() > 1
assert truth.positions.shape[::2] == (2, 2)
print("all is there")
"""


def shipped_names():
    lines = (ROOT / "data" / "registry.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return [row[0] for row in rows if len(row) == 2]  # no address: it travels in the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources (a build leaves files behind)."""
    source = tmp_path_factory.mktemp("source")
    for name in ("helpers", "data"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((source / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """A fresh environment with the wheel; what it depends on is lent by the running one."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    packages = sysconfig.get_path("purelib", vars={"base": str(home)})
    install = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install"]
    subprocess.run([*install, "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    # A path given this way lends packages, but not the editable install of this checkout.
    (Path(packages) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts / "python"


def test_installed_wheel_fetches_segments_and_simulates(python, tmp_path):
    unset = {"RVAE_STEM_DATA", "RVAE_STEM_CACHE", "PYTHONPATH"}
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment |= {"RVAE_STEM_OFFLINE": "1", "RVAE_STEM_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [str(python), "-c", SCRIPT, *shipped_names()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("all is there")


def test_wheel_is_small_and_carries_the_licences(wheel):
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.stat().st_size < 15 * 1024**2
    assert "helpers/shipped/registry.txt" in names
    assert any(name.endswith("LICENSE") for name in names)
