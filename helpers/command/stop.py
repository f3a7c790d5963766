"""Ctrl-C, a request to end, a closed terminal: what runs ends in order, and leaves nothing behind.

A signal that raises an exception may hit anywhere: in a destructor, where the exception is lost, or
in the midst of tidying up, which stays undone. So the work is done by a thread, and a signal only
asks for its end: the kernel is killed, whereupon the work fails, and tidies up as after any error.
"""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows does not know the last
LOOKS_EVERY_S = 0.1


class Stopped(Exception):
    """The work was asked to end, by the signal of this number."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}; nothing was written")
        self.number = number


class Stop:
    """Whether the work is to end, and the kernels that are killed then.

    Attributes
    ----------
    number : int
        Of the signal that came, 0 if none did.
    """

    def __init__(self):
        self.number = 0
        self._kernels = []

    def check(self) -> None:
        """Stopped, if a signal came."""
        if self.number:
            raise Stopped(self.number)

    def watch(self, kernel) -> None:
        """Have a kernel killed when a signal comes; Stopped, if one came already."""
        self._kernels.append(kernel)
        self.check()

    def kill_kernels(self) -> None:
        """Kill those that run now."""
        for kernel in list(self._kernels):
            kernel.kill_at_once()


def until_stopped(work):
    """Return what ``work(stop)`` returns; raise Stopped if a signal ended it, or its own error."""
    stop = Stop()
    with _heeded(stop), ThreadPoolExecutor(1) as pool:
        job = pool.submit(work, stop)
        while wait([job], LOOKS_EVERY_S).not_done:
            if stop.number:  # again and again: a kernel may have been about to start
                stop.kill_kernels()
    if stop.number and job.exception():
        raise Stopped(stop.number)
    return job.result()


@contextmanager
def _heeded(stop: Stop):
    """Inside the block, the signals ask for the end; those that are ignored, as by nohup, stay so.

    Only the main thread may set handlers.
    """

    def ask(number: int, frame) -> None:
        stop.number = number

    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        for number in numbers:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
