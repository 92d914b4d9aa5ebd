"""Masks by denoising step compared with shared ones, with aggregates, and with other ways to explain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from xattnmask import Case, SettingError, explain
from xattnmask.metrics import truth_scores
from xattnmask.plugins.registry import world
from xattnmask.studies import load_study
from xattnmask.studies.by_step import as_one_mask, step_rows

from ..toy_diffusion import ToyDiffusion

AGGREGATES = {f"{name} over steps" for name in ("mean", "max", "text", "noise", "attention")}


@pytest.fixture
def diffusion(setup):
    """Makes setups of a diffusion model that denoises in four steps."""
    model = ToyDiffusion()

    def make(options, **changes):
        return setup(**{"model": model, "options": options, "generate": {"steps": 4}, **changes})

    return make


@pytest.fixture
def explanation(diffusion):
    setup = diffusion({})
    (case,) = world("toy").cases(1)
    sound = setup.model.generate(case.prompt, seed=case.seed, duration=0.48, steps=4)
    return explain(setup.model, sound)


def test_all_parts_stand_in_one_table(diffusion, tmp_path):
    found = load_study("diffusion").run(diffusion({}, limit=1, out=tmp_path))
    methods = {row["method"] for row in found.rows}
    representations = {f"{name}, by {how}" for name in ("noise", "x0", "v", "guidance") for how in ("cosine", "error")}
    assert methods == AGGREGATES | (representations - {"v, by error"}) | {
        "a mask for each step", "one mask for all steps", "early steps", "late steps", "one mask for early steps",
        "one mask for late steps", "1 step", "3 steps", "5 steps", "20 steps", "leave-one-out", "mean attention",
        "step 1", "step 2", "step 3", "step 4"}
    assert all(row["error"] is None for row in found.rows)
    assert found.table.splitlines()[2].startswith("| a mask for each step |") and "| step 1 |" not in found.table
    files = found.save(tmp_path)
    assert [file.name for file in files] == ["diffusion.csv", "diffusion.md", "diffusion.svg"]
    assert len(pd.read_csv(files[0])) == len(methods)
    svg = files[2].read_text()
    assert "importance by step" in svg and ">others<" in svg and "frame AUC by step" in svg


def test_parts_are_chosen_and_an_aggregate_is_the_explanations_own(diffusion, explanation):
    found = load_study("diffusion").run(diffusion({"parts": "masks, aggregates"}, limit=1))
    rows = {row["method"]: row for row in found.rows if row.get("step") is None}
    assert set(rows) == {"a mask for each step", "one mask for all steps"} | AGGREGATES
    truth = world("toy").truth(next(iter(world("toy").cases(1))), explanation.times)
    for name in ("mean", "max", "text", "noise", "attention"):
        whole = explanation.over_steps(name)
        assert rows[f"{name} over steps"]["frame_auc"] == truth_scores(whole.word_importance(), truth)["frame_auc"]
        assert rows[f"{name} over steps"]["size"] == pytest.approx(float(whole.importance.mean()), abs=1e-6)
    assert rows["a mask for each step"]["size"] == pytest.approx(float(explanation.step_time_importance.mean()))


def test_as_one_mask_every_step_has_the_aggregate(explanation):
    found = as_one_mask(explanation, "max")
    expected = explanation.step_time_importance.max(0)
    np.testing.assert_array_equal(found.step_time_importance, np.stack([expected] * 4))
    np.testing.assert_array_equal(found.importance, expected)
    np.testing.assert_allclose(found.step_importance, np.stack([expected.mean(0)] * 4), rtol=1e-6)
    assert explanation.step_time_importance.std(0).max() > 0  # or the steps would have been one before


def test_steps_are_scored_each_by_itself(explanation):
    """Planted importance: nothing at the first step, and at the others the more in causes the later."""
    (case,) = world("toy").cases(1)
    truth = world("toy").truth(case, explanation.times)
    cells = np.full_like(explanation.step_time_importance, 0.1)
    for step in range(4):
        cells[step, :, :3] += 0.2 * step * truth
    rows = list(step_rows(replace(explanation, step_time_importance=cells), truth, case))
    assert [row["method"] for row in rows] == ["step 1", "step 2", "step 3", "step 4"]
    assert [row["causes"] for row in rows] == pytest.approx([0.1, 0.3, 0.5, 0.7])
    assert [row["others"] for row in rows] == pytest.approx([0.1] * 4)
    assert [row["frame_auc"] for row in rows] == [0.5, 1, 1, 1]


def test_it_goes_on_in_its_folder(diffusion, tmp_path):
    options, asked = {"parts": "aggregates"}, []
    first = load_study("diffusion").run(diffusion(options, limit=1, out=tmp_path))
    more = load_study("diffusion").run(diffusion(options, limit=2, out=tmp_path,
                                                 on_prompt=lambda *a: asked.append(a[:2])))
    assert asked == [(1, 1), (1, 1)]  # one prompt evaluated, one aggregated
    own = [row for row in more.rows if row["number"] == 1]
    assert own == first.rows


def test_without_a_world_it_is_what_is_heard_alone(diffusion):
    found = load_study("diffusion").run(diffusion({"parts": "aggregates"}, world=None, prompts=[Case("a dog")]))
    assert {row["method"] for row in found.rows} == AGGREGATES | {"a mask for each step"}
    assert all(np.isfinite(row["fid_cf"]) for row in found.rows) and "by step" not in found.panels[-1].title


def test_the_number_of_stretches_is_for_all(diffusion):
    found = load_study("diffusion").run(diffusion({"parts": "baselines", "bins": "2"}, limit=1))
    assert [row["error"] for row in found.rows] == [None] * 3
    with pytest.raises(SettingError, match="bins must be a whole number"):
        load_study("diffusion").run(diffusion({"bins": "0"}))


def test_a_part_that_it_does_not_have(diffusion):
    with pytest.raises(SettingError, match=r"no part 'mask': did you mean masks\?"):
        load_study("diffusion").run(diffusion({"parts": "mask"}))


def test_it_is_for_diffusion_models(setup):
    with pytest.raises(SettingError, match="'toy' is autoregressive"):
        load_study("diffusion").run(setup())


def test_steps_of_another_method(diffusion):
    options = {"parts": "aggregates", "method": "leave-one-out"}
    found = load_study("diffusion").run(diffusion(options, limit=1, judge=None))
    (case,) = world("toy").cases(1)
    setup = diffusion({})
    sound = setup.model.generate(case.prompt, seed=case.seed, duration=0.48, steps=4)
    expected = explain(setup.model, sound, method="leave-one-out")
    truth = world("toy").truth(case, expected.times)
    rows = {row["method"]: row for row in found.rows}
    for name, whole in (("a mask for each step", expected), ("max over steps", expected.over_steps("max"))):
        assert rows[name]["frame_auc"] == truth_scores(whole.word_importance(), truth)["frame_auc"]
    steps = [row["causes"] for row in found.rows if row.get("step") is not None]
    assert len(steps) == 4 and len(set(steps)) == 4
