"""Ctrl-C, a request to end and a closed terminal: one line, and nothing left running or lying."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from test_command_page import write_page

from helpers.command.stop import Stop, Stopped, until_stopped

WAIT_S = 60  # a computer may be slow, and busy

# The command in a process of its own, which analyses with a small page, and is slow to report. What
# started these tests may ignore signals, and would have the command ignore them as well.
DRIVER = """
import signal, sys, time
from pathlib import Path
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), {handler})
signal.signal(signal.SIGINT, {of_ctrl_c})
from helpers.__main__ import command
from helpers.command import analyse, page
page.page_file = lambda: Path({page!r})
def slow(folder, notebook, name):
    Path({marks!r}, "reporting").touch()
    time.sleep({slow_s})
analyse.write_report = slow
Path({marks!r}, "starting").touch()
sys.exit(command())
"""
PAGE = """
import subprocess, sys, tempfile, time
from pathlib import Path
open("left.txt", "w").close()
tempfile.mkdtemp()
if {slow_s}:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
Path(folder).mkdir()
Path({marks!r}, "executing").touch()
time.sleep({slow_s})
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts the command; it says where the marks of its progress appear."""
    for name in ("data", "marks", "temporary", "runtime"):
        (tmp_path / name).mkdir()
    (tmp_path / "data" / "mine.tif").touch()
    started = []

    def start(*, page_s=300, report_s=300, ignored=False):
        marks = str(tmp_path / "marks")
        page = write_page(tmp_path / "page" / "p.ipynb", PAGE.format(marks=marks, slow_s=page_s))
        handler = "signal.SIG_IGN" if ignored else "signal.SIG_DFL"
        of_ctrl_c = "signal.SIG_IGN" if ignored else "signal.default_int_handler"
        code = DRIVER.format(
            handler=handler, of_ctrl_c=of_ctrl_c, page=str(page), marks=marks, slow_s=report_s
        )
        places = {"TMPDIR": "temporary", "JUPYTER_RUNTIME_DIR": "runtime"}
        variables = os.environ | {name: str(tmp_path / place) for name, place in places.items()}
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, "analyse", "mine.tif", "--folder", "new/maps"],
            cwd=tmp_path / "data",
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()


def wait_for(mark: Path, process):
    end = time.monotonic() + WAIT_S
    while not mark.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, f"{mark.name} was not reached"
        time.sleep(0.02)


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


MOMENTS = [  # a mark that is waited for, s that are waited then, the signal, the exit status
    ("starting", 0.3, "SIGINT", 130),
    ("starting", 1.5, "SIGTERM", 143),
    ("executing", 0.0, "SIGINT", 130),
    ("executing", 0.0, "SIGHUP", 129),
    ("reporting", 0.0, "SIGTERM", 143),
]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of Unix")
@pytest.mark.parametrize(("mark", "later_s", "name", "status"), MOMENTS)
def test_a_signal_ends_all_and_leaves_nothing(mark, later_s, name, status, start, tmp_path):
    reporting = mark == "reporting"
    process = start(page_s=0 if reporting else 300, report_s=2 if reporting else 300)
    wait_for(tmp_path / "marks" / mark, process)
    time.sleep(later_s)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(getattr(signal, name))
    process.send_signal(getattr(signal, name))  # impatience does not break the tidying up
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == status, said
    lines = [line for line in said.splitlines() if "Executing" not in line]
    assert [line for line in lines if line] == [f"stopped by {name}; nothing was written"]
    assert not [child for child in family if is_running(child)]
    for process in psutil.process_iter(["cmdline"]):  # a kernel that started late
        assert str(tmp_path) not in " ".join(process.info["cmdline"] or ())
    assert [path.name for path in (tmp_path / "data").rglob("*")] == ["mine.tif"]
    assert not list((tmp_path / "temporary").iterdir())
    assert not list((tmp_path / "runtime").iterdir())


def test_signals_that_are_ignored_stay_so(start, tmp_path):
    """As after nohup."""
    process = start(page_s=0, report_s=1, ignored=True)
    wait_for(tmp_path / "marks" / "executing", process)
    for name in ("SIGINT", "SIGHUP"):
        process.send_signal(getattr(signal, name))
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0 and "written" in said
    assert (tmp_path / "data" / "new" / "maps" / "results").is_dir()


# ------------------------------------------------------------ in this process


class Kernel:
    """One that runs until it is killed."""

    def __init__(self):
        self.killed = threading.Event()

    def kill_at_once(self):
        self.killed.set()


@pytest.fixture
def ctrl_c():
    """The handler of Ctrl-C, which must be here again afterwards."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    found = signal.signal(signal.SIGINT, before)
    assert found is signal.default_int_handler


def test_what_work_returns_or_raises_comes_out(ctrl_c):
    assert until_stopped(lambda stop: stop.number) == 0
    with pytest.raises(ZeroDivisionError):
        until_stopped(lambda stop: 1 / 0)
    with pytest.raises(SystemExit):
        until_stopped(lambda stop: sys.exit(3))


def test_a_signal_kills_the_kernel_and_whatever_fails_then_is_a_stop(ctrl_c):
    kernel = Kernel()

    def work(stop):
        stop.watch(kernel)
        signal.raise_signal(signal.SIGINT)
        assert kernel.killed.wait(WAIT_S)
        raise OSError("the kernel died")

    with pytest.raises(Stopped) as stopped:
        until_stopped(work)
    assert stopped.value.number == signal.SIGINT


def test_no_kernel_starts_after_a_signal_and_one_that_starts_late_is_killed(ctrl_c):
    kernel = Kernel()

    def work(stop):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.3)
        with pytest.raises(Stopped):
            stop.watch(kernel)
        assert kernel.killed.wait(WAIT_S)
        stop.check()

    with pytest.raises(Stopped):
        until_stopped(work)


def test_what_was_finished_all_the_same_stays(ctrl_c):
    def work(stop):
        signal.raise_signal(signal.SIGINT)
        return "written"

    assert until_stopped(work) == "written"


def test_beside_the_main_thread_signals_are_left_to_it():
    before = signal.getsignal(signal.SIGINT)
    found = []
    thread = threading.Thread(target=lambda: found.append(until_stopped(lambda stop: "done")))
    thread.start()
    thread.join()
    assert found == ["done"] and signal.getsignal(signal.SIGINT) is before


def test_a_stop_tells_nothing_until_there_was_a_signal():
    stop = Stop()
    stop.check()
    stop.number = signal.SIGTERM
    with pytest.raises(Stopped, match="stopped by SIGTERM; nothing was written"):
        stop.check()
