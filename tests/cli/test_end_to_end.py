"""The whole command in a process of its own, with the toy model and the real explainer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xattnmask import Explanation
from xattnmask.plugins.discovery import LISTENERS

pytest.importorskip("xattnmask.explainer")

SIGINT_AT_STEP_2 = """
    import os, signal
    from xattnmask import hookimpl

    @hookimpl
    def xattnmask_step(event):
        if event.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.fixture
def xattnmask(distributions, tmp_path):
    """Run ``python -m xattnmask`` in ``tmp_path`` with the toy installed."""
    distributions.add_toy(checkpoints=["toy-small"])
    path = os.pathsep.join([str(distributions.site), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "xattnmask", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def explain(xattnmask, *arguments):
    return xattnmask("explain", "a dog barks", "--checkpoint", "toy-small", "--duration", "0.8", *arguments)


def test_explain(xattnmask, tmp_path):
    done = explain(xattnmask, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)
    assert [word["text"] for word in data["words"]] == ["a", "dog", "barks"]
    assert all(Path(file).stat().st_size > 0 for file in data["files"].values())
    explanation = Explanation.load(tmp_path / "xattnmask-out")
    assert np.isfinite(explanation.importance).all()
    sounds = explanation.audio
    assert sounds["audio"].shape == sounds["factual"].shape == sounds["counterfactual"].shape
    assert not np.array_equal(sounds["factual"], sounds["counterfactual"])


def test_the_same_seed_gives_the_same_files(xattnmask, tmp_path):
    for out in ("one", "two"):
        assert explain(xattnmask, "--seed", "3", "--out", out).returncode == 0
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


@pytest.mark.parametrize("arguments", [
    ["--context", "none"], ["--context", "frozen"], ["--context", "joint"], ["--steps", "3"],
    ["--preset", "paper", "--steps", "3"], ["--method", "attention"], ["--method", "leave-one-out"],
])
def test_methods_and_their_settings(xattnmask, arguments):
    done = explain(xattnmask, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_setting_that_a_method_does_not_have(xattnmask):
    done = explain(xattnmask, "--method", "attention", "--preset", "paper")
    assert done.returncode == 2
    assert done.stderr.startswith("xattnmask: error: ")
    assert "preset" in done.stderr


def test_ctrl_c_while_explaining(xattnmask, distributions, tmp_path):
    distributions.add("stop", {LISTENERS: {"stop": "stop_plugin"}}, modules={"stop_plugin": SIGINT_AT_STEP_2})
    done = explain(xattnmask)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "xattnmask: interrupted\n")
    assert not (tmp_path / "xattnmask-out").exists()
