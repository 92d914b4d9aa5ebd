"""What is measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]  # the benchmarks are no installed package
LARGE = 400


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only there peaks are told apart")
def test_the_peak_of_a_child_is_its_own():
    held = np.ones(LARGE * 2**20, np.uint8)  # MB that the process which starts the child holds
    command = [sys.executable, "-c", "from benchmarks.child import own_peak; print(own_peak())"]
    peak = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert 5 < peak < held.nbytes / 2**20 / 2
