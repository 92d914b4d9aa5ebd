"""Several processes give the table that one gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from xattnmask.evaluation.sharing import Alone, own_device, processes

COMMAND = [
    "-m", "xattnmask", "evaluate", "--world", "toy", "--limit", "5", "--model", "toy", "--checkpoint", "toy-small",
    "--judge", "toy", "--methods", "attention,leave-one-out", "--repeats", "1", "--duration", "0.48", "--out",
]  # fmt: skip


@pytest.fixture
def run(distributions, tmp_path):
    distributions.add_toy(checkpoints=["toy-small"])
    path = os.pathsep.join([str(distributions.site), os.environ.get("PYTHONPATH", "")])

    def call(*launcher, out, **environment):
        command = [sys.executable, *launcher, *COMMAND, str(tmp_path / out)]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
                              capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        assert done.returncode == 0, done.stderr
        table = pd.read_parquet(tmp_path / out / "results.parquet").drop(columns="seconds")
        return table, done.stdout, tmp_path / out

    return call


def test_two_processes_give_the_table_of_one(run):
    together = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
                "--mixed_precision", "no", "--dynamo_backend", "no"]
    one, _, _ = run(out="one")
    two, told, folder = run(*together, out="two", ACCELERATE_USE_CPU="1")
    pd.testing.assert_frame_equal(one, two)
    assert len(one) == 10 and told.count("5 prompts, 2 methods") == 1
    (folder / "prompts" / "000004.json").unlink()
    again, _, _ = run(*together, out="two", ACCELERATE_USE_CPU="1")
    pd.testing.assert_frame_equal(one, again)


def test_alone_without_a_launcher(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    share = processes("cpu")
    assert type(share) is Alone and share.mine([1, 2]) == [1, 2] == share.gathered([1, 2]) and share.same("x") == "x"


@pytest.mark.parametrize(("device", "count", "expected"), [
    ("cuda", 2, "cuda:1"), ("cuda", 1, "cuda"), ("cuda:0", 2, "cuda:0"), ("cpu", 2, "cpu")])
def test_each_process_has_a_device_of_its_own(device, count, expected):
    share = Alone()
    share.count, share.local = count, 1
    assert own_device(device, share) == expected
