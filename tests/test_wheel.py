"""A plain install elsewhere has all that is shipped: the wheel, in a fresh environment, works."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SCRIPT = """
import sys
from pathlib import Path

import hyperspy.api as hs

import helpers
from helpers.simulate.scan import scan_specimen
from helpers.simulate.specimen import single_crystal

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


def test_installed_wheel_fetches_segments_and_simulates(elsewhere, bare_variables, tmp_path):
    done = subprocess.run(
        [str(elsewhere), "-c", SCRIPT, *shipped_names()],
        cwd=tmp_path,
        env=bare_variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("all is there")


def test_wheel_is_small_and_carries_the_licences(wheel):
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.stat().st_size < 15 * 1024**2
    assert "helpers/data/registry.txt" in names and "helpers/__init__.pyi" in names
    assert not any("recipes" in name for name in names)
    assert any(name.endswith("share/rvae_stem_book/21_analyse_image.ipynb") for name in names)
    assert any(name.endswith("LICENSE") for name in names)
