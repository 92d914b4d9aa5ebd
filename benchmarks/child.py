"""What is measured in a process of its own: its peak memory, and what it tells."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any


def told_by(module: str, *arguments: str) -> Any:
    """What ``python -m benchmarks.MODULE ARGUMENTS`` prints in its last line, as JSON."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def own_peak() -> float:
    """Peak memory of this process in MB; getrusage also counts what its parent held when it was started."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
