"""Files that nobody vouches for: read by a child with limits, and nothing worse than an error."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
from fuzzing import fuzz, write_mutated
from test_files_load import IMAGE, WRITERS, make_signal

from helpers import fetch, load_image
from helpers.files import untrusted as apart
from helpers.files.read import axes_of


@pytest.mark.parametrize("ending", ["hspy", "dm3", "tif"])
def test_a_child_reads_the_same(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    WRITERS[ending](path, IMAGE)
    here, there = load_image(path), load_image(path, untrusted=True)
    assert np.array_equal(here.data, there.data) and there.data.dtype == np.float32
    for one, other in zip(axes_of(here), axes_of(there), strict=True):
        assert (one.scale, str(one.units)) == (other.scale, str(other.units))


def test_options_warnings_and_errors_come_through(tmp_path):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE, units="").save(path)
    with pytest.warns(UserWarning, match="is no length"):
        assert load_image(path, untrusted=True).axes_manager[0].units == "px"
    assert load_image(path, untrusted=True, pixel_size_nm=0.5).axes_manager[0].scale == 0.5
    with pytest.raises(ValueError, match="signal=7"):
        load_image(path, untrusted=True, signal=7)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_image(tmp_path / "none.tif", untrusted=True)


def test_a_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "bomb.hspy"
    make_signal(np.zeros((9, 9), np.uint8)).save(path)
    with h5py.File(path, "a") as file:
        (group,) = file["Experiments"].values()
        del group["data"]
        shape = (60_000, 60_000)
        group.create_dataset("data", shape, "u1", compression="gzip", chunks=(6000, 6000))
    assert path.stat().st_size < 2**20
    with pytest.raises(ValueError, match="could not be read|ended its reader"):
        load_image(path, untrusted=True)


def test_a_reader_that_does_not_come_back_is_ended(tmp_path, monkeypatch):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE).save(path)
    monkeypatch.setattr(apart, "LONGEST_S", 0.05)
    with pytest.raises(ValueError, match="keeps its reader busy"):
        load_image(path, untrusted=True)


def test_a_child_that_dies_is_a_value_error(tmp_path, monkeypatch):
    monkeypatch.setattr(apart.sys, "executable", "false")
    path = tmp_path / "image.hspy"
    make_signal(IMAGE).save(path)
    with pytest.raises(ValueError, match="ended its reader"):
        load_image(path, untrusted=True)


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_read_or_refused(tmp_path):
    outcome = fuzz(500, 2, tmp_path)
    assert len(outcome) == 500 and "ValueError" in outcome.values()
    for path, what in outcome.items():
        if what not in ("read", "ValueError"):  # what the child is for
            assert what in ("hang", "crash", "out of memory"), (path, what)
            with pytest.raises(ValueError):
                load_image(path, untrusted=True)


def test_mutations_do_mutate(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "whole").mkdir()
    WRITERS["dm3"](tmp_path / "whole" / "image.dm3", IMAGE)
    whole = (tmp_path / "whole" / "image.dm3").read_bytes()
    assert write_mutated(tmp_path / "changed", "dm3", rng).read_bytes() != whole


def test_no_network_at_import():
    code = "import socket; socket.socket.connect = socket.getaddrinfo = None; import helpers; "
    code += "[getattr(helpers, name) for name in helpers.__all__]"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@pytest.mark.parametrize("name", ["../pyproject.toml", "/etc/passwd", "data/../registry.txt", ""])
def test_a_name_does_not_leave_the_folder_of_registered_files(name):
    with pytest.raises(ValueError, match="not the bare name of a registered file"):
        fetch(name)
