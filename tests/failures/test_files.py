"""Saved files that are too large, pickled, malformed or hostile: an error, never code that runs, and no hang."""

from __future__ import annotations

import ast
import json
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xattnmask
from xattnmask import CheckpointError, Explanation, FormatError, Token

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12,
)


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.write_text, (self.mark, "it ran")


def saved(folder, frames=3):
    tokens = (Token(1, "a", 0, 1), Token(2, "dog", 2, 5))
    Explanation(
        prompt="a dog", tokens=tokens, times=np.arange(frames + 1.0),
        importance=np.full((frames, 2), 1 / 3, np.float32),
        method="learned", model="toy", checkpoint="toy", seed=0, sample_rate=100, audio={"audio": np.zeros(100)},
    ).save(folder)
    return folder / "explanation.json"


def test_a_pickle_in_the_place_of_an_explanation_does_not_run(tmp_path):
    file, mark = saved(tmp_path), tmp_path / "mark"
    for data in (pickle.dumps(Bomb(mark)), pickle.dumps(Bomb(mark), 0)):
        file.write_bytes(data)
        with pytest.raises(FormatError):
            Explanation.load(tmp_path)
    saved(tmp_path)
    (tmp_path / "audio.wav").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(FormatError):
        Explanation.load(tmp_path)
    assert not mark.exists()


def test_a_pickled_checkpoint_does_not_run(tmp_path, toy_model):
    """torch.load refuses what is not weights, and so do the adapters of this project."""
    import torch

    mark = tmp_path / "mark"
    torch.save({"weights": Bomb(mark)}, tmp_path / "state_dict.bin")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "state_dict.bin")
    try:
        with pytest.raises((CheckpointError, ImportError)):
            xattnmask.load("audiogen", str(tmp_path))
    except xattnmask.UnknownKeyError:
        pass
    assert not mark.exists()


def test_nothing_in_the_project_unpickles_what_it_saved():
    root = Path(xattnmask.__file__).parent
    imports = {
        alias.name.partition(".")[0]
        for file in root.rglob("*.py") for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in ([*node.names] if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert not imports & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def test_saved_files_are_small(tmp_path):
    """Thirty seconds at 50 frames a second with sixteen tokens: what is saved is numbers, not tensors of a model."""
    frames, tokens = 1500, tuple(Token(1, "dog", 4 * i, 4 * i + 3) for i in range(16))
    Explanation(
        prompt="dog " * 16, tokens=tokens, times=np.arange(frames + 1) / 50, method="learned", model="toy",
        importance=np.random.default_rng(0).random((frames, 16), dtype=np.float32), checkpoint="toy", seed=0,
    ).save(tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1_000_000


@quick
@given(value=JSON, name=st.sampled_from(["prompt", "tokens", "times", "importance", "settings", "audio", "versions",
                                         "steps", "diagnostics", "seed", "sample_rate", "attention", "losses"]))
def test_any_field_of_another_kind_is_refused_or_read_in_no_time(tmp_path, name, value):
    file = saved(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))
    start = time.perf_counter()
    try:
        found = Explanation.load(tmp_path)
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        found.words(), str(found)
    assert time.perf_counter() - start < 5


@quick
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path, data):
    saved(tmp_path).write_bytes(data)
    with pytest.raises(FormatError):
        Explanation.load(tmp_path)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000, '"' + "a" * 10**6, "1" * 10**5, "-" * 10**5])
def test_hostile_json_is_refused_quickly(tmp_path, text):
    saved(tmp_path).write_text(text)
    start = time.perf_counter()
    with pytest.raises(FormatError):
        Explanation.load(tmp_path)
    assert time.perf_counter() - start < 5
