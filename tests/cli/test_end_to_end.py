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
    import signal
    from xattnmask import hookimpl

    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal

    @hookimpl
    def xattnmask_step(event):
        if event.step == 2:
            signal.raise_signal(signal.SIGINT)
"""


COMMAND = ["explain", "a dog barks", "--checkpoint", "toy-small", "--duration", "0.8"]


@pytest.fixture(autouse=True)
def installed(distributions, tmp_path, monkeypatch):
    """The toy beside what is really installed, and a working directory of its own."""
    distributions.add_toy(checkpoints=["toy-small"])
    monkeypatch.chdir(tmp_path)
    return distributions


@pytest.fixture
def process(installed):
    """Run ``python -m xattnmask`` in a process of its own."""
    path = os.pathsep.join([str(installed.site), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "xattnmask", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return call


def test_explain(process, tmp_path):
    done = process(*COMMAND, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    data = json.loads(done.stdout)
    assert [word["text"] for word in data["words"]] == ["a", "dog", "barks"]
    assert all(Path(file).stat().st_size > 0 for file in data["files"].values())
    explanation = Explanation.load(tmp_path / "xattnmask-out")
    assert np.isfinite(explanation.importance).all()
    sounds = explanation.audio
    assert sounds["audio"].shape == sounds["factual"].shape == sounds["counterfactual"].shape
    assert not np.array_equal(sounds["factual"], sounds["counterfactual"])


def test_ctrl_c_while_explaining(process, installed, tmp_path):
    installed.add("stop", {LISTENERS: {"stop": "stop_plugin"}}, modules={"stop_plugin": SIGINT_AT_STEP_2})
    done = process(*COMMAND)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "xattnmask: interrupted\n")
    assert not (tmp_path / "xattnmask-out").exists()


def test_the_same_seed_gives_the_same_files(run, tmp_path):
    for out in ("one", "two"):
        assert run(*COMMAND, "--seed", "3", "--out", out).code == 0
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


@pytest.mark.parametrize("arguments", [
    ["--context", "none"], ["--context", "frozen"], ["--context", "joint"], ["--steps", "3"],
    ["--preset", "paper", "--steps", "3"], ["--method", "attention"], ["--method", "leave-one-out"],
])
def test_methods_and_their_settings(run, arguments):
    done = run(*COMMAND, *arguments)
    assert (done.code, done.err) == (0, "")


def test_a_setting_that_a_method_does_not_have(run):
    done = run(*COMMAND, "--method", "attention", "--preset", "paper")
    assert done.code == 2
    assert done.err.startswith("xattnmask: error: ")
    assert "preset" in done.err
