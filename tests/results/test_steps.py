"""Importance by denoising step: its aggregates, windows, intervals and files."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import Explanation, FormatError, SettingError, Token
from xattnmask.results.io import from_dict, to_dict
from xattnmask.results.steps import over_steps

CELLS = np.random.default_rng(0).random((4, 3, 2)).astype(np.float32)
WEIGHTS = {"text": [1.0, 0.0, 3.0, 0.0], "noise": [0.9, 0.6, 0.3, 0.1]}


@pytest.fixture
def explanation():
    return Explanation(
        prompt="a dog", tokens=(Token(1, "a", 0, 1), Token(2, "dog", 2, 5)), times=np.array([0.0, 1.0, 2.0, 4.0]),
        importance=over_steps(CELLS, WEIGHTS), method="learned", model="m", checkpoint="c", seed=0,
        steps=np.arange(4), step_importance=CELLS.mean(1), step_time_importance=CELLS, step_weights=WEIGHTS,
    )  # fmt: skip


def test_aggregates():
    np.testing.assert_allclose(over_steps(CELLS, {}, "mean"), CELLS.mean(0), rtol=1e-6)
    np.testing.assert_allclose(over_steps(CELLS, {}, "max"), CELLS.max(0))
    np.testing.assert_allclose(over_steps(CELLS, WEIGHTS, "text"), (CELLS[0] + 3 * CELLS[2]) / 4, rtol=1e-6)
    np.testing.assert_allclose(over_steps(CELLS, WEIGHTS, "noise"),
                               np.tensordot(WEIGHTS["noise"], CELLS, 1) / 1.9, rtol=1e-5)
    np.testing.assert_allclose(over_steps(CELLS, {"text": [0.0] * 4}, "text"), CELLS.mean(0), rtol=1e-6)


def test_windows():
    np.testing.assert_allclose(over_steps(CELLS, {}, "mean", (0, 0.5)), CELLS[:2].mean(0), rtol=1e-6)
    np.testing.assert_allclose(over_steps(CELLS, WEIGHTS, "noise", (0.75, 1)), CELLS[3])
    with pytest.raises(SettingError, match="no denoising step"):
        over_steps(CELLS, {}, "mean", (0, 0.05))
    with pytest.raises(SettingError, match="window must be"):
        over_steps(CELLS, {}, "mean", (0.5, 0.2))


def test_wrong_aggregates():
    with pytest.raises(SettingError, match="aggregate must be one of"):
        over_steps(CELLS, {}, "median")
    with pytest.raises(SettingError, match="no step weights 'attention': it has text, noise"):
        over_steps(CELLS, WEIGHTS, "attention")


def test_another_aggregate_of_an_explanation(explanation):
    early = explanation.over_steps("mean", (0, 0.5))
    np.testing.assert_allclose(early.importance, CELLS[:2].mean(0), rtol=1e-6)
    assert np.array_equal(early.step_time_importance, CELLS)


def test_an_interval_keeps_its_part_of_every_step(explanation):
    part = explanation.interval(1.5, 4.0)
    assert np.array_equal(part.step_time_importance, CELLS[:, 1:])
    np.testing.assert_allclose(part.step_importance, (CELLS[:, 1] + 2 * CELLS[:, 2]) / 3, rtol=1e-5)


def test_it_is_saved(explanation, tmp_path):
    explanation.save(tmp_path)
    assert Explanation.load(tmp_path) == explanation


@pytest.mark.parametrize(("name", "value"), [
    ("step_time_importance", [[[0.0]]]), ("step_time_importance", "x"), ("step_weights", {"text": [1.0]}),
    ("step_weights", {"text": [-1.0, 0.0, 0.0, 0.0]}), ("step_weights", [1.0]), ("steps", None),
])  # fmt: skip
def test_malformed_files(explanation, name, value):
    with pytest.raises(FormatError):
        from_dict({**to_dict(explanation), name: value})
