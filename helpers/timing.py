"""What a notebook has cost so far: time since its kernel started, and peak memory."""

import sys
import time
from pathlib import Path

import psutil


def run_time_s() -> float:
    """Seconds since this process (in a notebook: its kernel) was started."""
    return time.time() - psutil.Process().create_time()


def peak_memory_gib() -> float:
    """Largest resident memory of this process so far, in GiB.

    Linux reports it for the running program alone (``VmHWM``); ``getrusage`` there would count the
    program from which the kernel was forked as well.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024**2
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1024**3
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**3  # macOS counts in bytes


def report_cost() -> None:
    """Print run time and peak memory: the last cell of each page, read by the build."""
    gib = peak_memory_gib()
    print(f"This page ran in {run_time_s():.0f} s and used {gib:.2f} GiB at its peak.")
