"""What a notebook has cost so far: time since its kernel started, and peak memory."""

import sys
import time
from pathlib import Path

import psutil

BYTES_IN_KIB = 1024
BYTES_IN_GIB = 1024**3


def run_time_s() -> float:
    """Seconds since this process (in a notebook: its kernel) was started."""
    started = psutil.Process().create_time()
    return time.time() - started


def peak_memory_gib() -> float:
    """Largest resident memory of this process so far, in GiB.

    Linux reports it for the running program alone (``VmHWM``); ``getrusage`` there would count the
    program from which the kernel was forked as well.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak_bytes = _peak_memory_kib(status.read_text()) * BYTES_IN_KIB
    elif sys.platform == "win32":
        memory = psutil.Process().memory_info()
        peak_bytes = memory.peak_wset
    else:  # macOS, which counts in bytes
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        peak_bytes = usage.ru_maxrss
    return peak_bytes / BYTES_IN_GIB


def _peak_memory_kib(status: str) -> int:
    """The number in the line ``VmHWM:  123456 kB`` of what Linux says about a process."""
    for line in status.splitlines():
        if line.startswith("VmHWM"):
            _, count, _ = line.split()
            return int(count)
    raise ValueError("this Linux does not report VmHWM, the largest resident memory")


def report_cost() -> None:
    """Print run time and peak memory: the last cell of each page, read by the build."""
    peak_gib = peak_memory_gib()
    seconds = run_time_s()
    print(f"This page ran in {seconds:.0f} s and used {peak_gib:.2f} GiB at its peak.")
