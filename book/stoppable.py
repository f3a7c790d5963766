"""A program that one Ctrl-C ends, wherever it is, with all that it has started.

The program runs in a process of its own, and this one waits for it and for a signal. To tidy up
inside the program would take its threads, its kernels and the programs of others, and each of them
can be slow or hang. Killed from outside, they end at once, and nothing is left to chance:

- All processes of the program are known by one variable of their environment, ``TMPDIR``, which
  each inherits from that which started it. So one is found even if its parent ended before it.
- It names a folder made here, where all their temporary files lie. It is removed at the end.

So the program can end in the middle of any line. What it writes must tell the next run whether it
is whole.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import psutil

PAUSE_S = 0.05
MOST_LOOKS = 60  # at the list of processes: no more than some seconds, whatever cannot be killed


def stopping_signals() -> list[int]:
    """Ctrl-C, the wish of another program, and (not on Windows) a terminal that was closed.

    Ctrl-C is heard also where a script runs this in the background, for which its shell ignores it.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)  # which nohup would have ignored
    return numbers


def run(command: list[str], last_words: str) -> int:
    """Run a program, and stop it at the first signal that asks for it.

    Returns what the program returned. If it was stopped, `last_words` are printed, and 128 and the
    number of the signal are returned, as shells do: 130 after Ctrl-C.
    """
    asked = []  # the numbers of the signals that came

    def hear(number: int, frame) -> None:
        asked.append(number)

    for number in stopping_signals():
        signal.signal(number, hear)
    prefix = "rvae-stem-book-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        # Ctrl-C reaches every program of a terminal. All that is started from here inherits that it
        # is ignored, and ends without telling where it was interrupted.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        program = subprocess.Popen(command, env=os.environ | {"TMPDIR": folder})
        signal.signal(signal.SIGINT, hear)
        wait(program, asked)
        program.kill()
        returned = program.wait()
        end_all(folder)
    if returned >= 0:  # it ended by itself
        return returned
    with contextlib.suppress(OSError):  # from a terminal that was closed
        print(last_words, file=sys.stderr, flush=True)
    return 128 + (asked[0] if asked else -returned)


def wait(program: subprocess.Popen, asked: list[int]) -> None:
    """Wait until the program has ended or a signal has `asked` for its end.

    That a terminal was closed may be told to the first program there alone. If that is ``make``, it
    does not pass it on. So it is noted here, where the terminal would be written to, as its signal.
    """
    at_terminal = sys.stderr.isatty()
    while program.poll() is None and not asked:
        time.sleep(PAUSE_S)
        if at_terminal and not sys.stderr.isatty():
            asked.append(signal.SIGHUP)


def end_all(folder: str) -> None:
    """Kill every process whose temporary files lie in `folder`."""
    for _ in range(MOST_LOOKS):
        time.sleep(PAUSE_S)  # what was started by one that has just been killed is seen by now
        left = processes_of(folder)
        if not left:
            return
        for process in left:
            with contextlib.suppress(psutil.Error):  # it has ended by itself
                process.kill()


def processes_of(folder: str) -> list[psutil.Process]:
    """The processes whose temporary files lie in `folder`."""
    found = []
    for process in psutil.process_iter(["environ"]):
        variables = process.info["environ"] or {}  # None where it may not be read
        if variables.get("TMPDIR") == folder:
            found.append(process)
    return found


def end_with_the_watcher() -> None:
    """End this process, the program, as soon as that which runs it is gone, however it went."""
    watcher = os.getppid()

    def wait() -> None:
        while os.getppid() == watcher:
            time.sleep(1)
        os._exit(1)  # from a thread, at once; nobody is there to be told

    threading.Thread(target=wait, daemon=True).start()
