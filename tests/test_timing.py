"""What a page has cost: measured from the start of its process, and in the form the build reads."""

import re
import subprocess
import sys

import numpy as np
import pytest

from helpers.timing import report_cost

BEFORE_AND_AFTER = """
import numpy as np
from helpers.timing import peak_memory_gib, run_time_s

print(run_time_s(), peak_memory_gib())
block = np.ones({size})
del block
print(run_time_s(), peak_memory_gib())
"""
HALF_A_GIB = 2**26  # of float64


def measured_in_a_fresh_process(size):
    command = [sys.executable, "-c", BEFORE_AND_AFTER.format(size=size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return np.array(done.stdout.split(), float).reshape(2, 2).T  # (seconds, GiB) by (before, after)


def test_peak_remembers_memory_that_was_freed():
    seconds, gib = measured_in_a_fresh_process(HALF_A_GIB)
    assert gib[1] - gib[0] == pytest.approx(0.5, abs=0.05)
    assert seconds[1] > seconds[0] > -1  # the clock of the system may be a little off


def test_memory_is_that_of_this_process_alone():
    ballast = np.ones(HALF_A_GIB)  # of the process that starts the measured one
    _, gib = measured_in_a_fresh_process(1)
    assert gib[1] < 0.3 < ballast.nbytes / 1024**3


def test_report_is_what_the_build_looks_for(capsys):
    report_cost()
    printed = capsys.readouterr().out
    assert re.fullmatch(r"This page ran in \d+ s and used \d+\.\d\d GiB at its peak\.\n", printed)
