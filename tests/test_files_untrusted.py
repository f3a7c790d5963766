"""Files that nobody vouches for: read by a child with limits, and nothing worse than an error."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
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
    with pytest.raises(ValueError, match="needs more memory than the limit of 2 GiB"):
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


PACKAGES = Path(apart.__file__).parents[2]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A function that lets the child run code of the test in the middle of its work."""
    folder = tmp_path / "before all"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{PACKAGES}")
    in_child = "import os, sys, time\nif 'helpers.files.' in ' '.join(sys.orig_argv): "

    def make(code: str) -> None:
        (folder / "resource.py").write_text(in_child + code)

    return make


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_reader_that_is_killed_is_a_value_error_in_one_line(tmp_path, fake, number):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE).save(path)
    fake(f"os.kill(os.getpid(), {int(number)})")
    with pytest.raises(ValueError) as refused:
        load_image(path, untrusted=True)
    message = str(refused.value)
    assert str(path) in message and "\n" not in message
    assert f"signal {int(number)}, {number.name}; the limit of 2 GiB may be passed" in message


def test_a_child_that_fails_says_with_which_words(tmp_path, fake):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE).save(path)
    fake("raise RuntimeError('no such\\nluck')")
    with pytest.raises(ValueError, match=r"image\.hspy ended its reader \(.*luck"):
        load_image(path, untrusted=True)


def test_too_much_memory_is_called_so(tmp_path):
    path = tmp_path / "large.npy"
    with path.open("wb") as file:
        shape = {"descr": "<f4", "fortran_order": False, "shape": (30_000, 30_000)}
        np.lib.format.write_array_header_1_0(file, shape)
        file.truncate(30_000**2 * 4 + 200)  # a hole: it takes no room on the disk
    with pytest.raises(ValueError, match=r"large\.npy needs more memory than the limit of 2 GiB"):
        load_image(path, untrusted=True)


@pytest.mark.parametrize("variable", [None, "", ".", ":"])
def test_no_module_beside_the_data_is_imported(tmp_path, monkeypatch, variable):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE).save(path)
    for name in ("psutil", "json", "numpy", "h5py", "helpers", "sitecustomize", "resource"):
        trap = f"open({str(tmp_path / 'trace')!r} + __name__, 'w')"
        (tmp_path / f"{name}.py").write_text(trap)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONINSPECT", "1")  # would wait for somebody to type
    if variable is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", variable)
    np.testing.assert_array_equal(load_image("image.hspy", untrusted=True).data, IMAGE)
    assert not list(tmp_path.glob("trace*"))


BUSY = {
    "in Python": "time.sleep(60)",
    "in C": "import ctypes; ctypes.PyDLL(None).sleep(60)",  # no other thread of Python runs
}


@pytest.mark.parametrize("busy", BUSY)
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_ends_with_its_parent(tmp_path, fake, end, busy):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE).save(path)
    is_busy = tmp_path / "busy"
    fake(f"open({str(is_busy)!r}, 'w').close(); {BUSY[busy]}")
    # Heard also where the tests run in the background, for which a shell has Ctrl-C ignored.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += f"from helpers import load_image; load_image({str(path)!r}, untrusted=True)"
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not is_busy.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    (child,) = psutil.Process(parent.pid).children(recursive=True)
    assert child.is_running()
    parent.send_signal(end)
    parent.wait(10)
    _, alive = psutil.wait_procs([child], timeout=10)
    for left in alive:
        left.kill()
    assert not alive


def test_what_the_child_says_of_axes_is_no_formula(tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    axis = {"size": 18, "expression": f"open({str(trace)!r}, 'w')", "scale": 2.0}
    said = {"error": "", "warnings": [], "title": "", "axes": [axis, {"size": 25}]}

    def taken_over(path, arguments, place):
        np.savez(arguments[1], data=IMAGE, said=apart.json.dumps(said))

    monkeypatch.setattr(apart, "_run_child", taken_over)
    image = apart.read_in_child(tmp_path / "any.tif")
    assert axes_of(image)[0].scale == 2 and not trace.exists()


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
