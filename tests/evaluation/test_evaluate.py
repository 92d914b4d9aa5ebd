"""Evaluating methods on many prompts: what is measured, what is kept, and what goes wrong."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest

from xattnmask import (
    Case,
    FormatError,
    NumericalError,
    OutputError,
    SettingError,
    UnknownKeyError,
    evaluate,
    explain,
    load_judge,
    regenerate,
)
from xattnmask.evaluation import scoring
from xattnmask.judges import probabilities
from xattnmask.metrics import fidelity, truth_scores
from xattnmask.plugins.registry import world as load_world

PROMPTS = ["a dog barks", "rain then wind", "the bell"]
SHORT = {"duration": 0.4, "repeats": 2, "methods": ["attention", "leave-one-out"]}


@pytest.fixture
def scored(toy_model):
    return evaluate(toy_model, PROMPTS, judge="toy", **SHORT)


def test_a_row_for_each_prompt_and_method_in_order(scored):
    assert [(row["number"], row["method"]) for row in scored] == [
        (number, method) for number in (1, 2, 3) for method in ("attention", "leave-one-out")]
    assert scored["prompt"][::2].tolist() == PROMPTS and len(scored) == 6
    assert {"fid_f", "fid_cf", "fid_f_top", "fid_cf_top", "kl_f", "kl_cf", "size", "seconds"} <= set(scored.columns)
    assert not scored.errors and np.isfinite(scored["kl_cf"]).all()


def test_scores_are_those_of_the_parts(toy_model, scored):
    """Made again by hand: generate, explain, regenerate with two seeds, judge."""
    judge, generation = load_judge("toy"), toy_model.generate(PROMPTS[1], seed=0, duration=0.4)
    explanation = explain(toy_model, generation, method="leave-one-out")
    before = probabilities(judge, generation.audio, generation.sample_rate)
    made = [regenerate(toy_model, generation, explanation, seed=seed) for seed in (0, 1)]
    for name, kind in (("fid_f", "factual"), ("fid_cf", "counterfactual")):
        falls = [fidelity(before, probabilities(judge, sounds[kind], generation.sample_rate)) for sounds in made]
        assert scored[name][3] == pytest.approx(np.mean(falls), abs=1e-12)
    assert scored["label"][3] == judge.labels[before.argmax()]


def test_a_mask_that_keeps_everything_changes_nothing(toy_model, monkeypatch):
    """M = 1 makes the same sound from the same seed, but for float32's rounding: no fall, no divergence."""
    monkeypatch.setattr("xattnmask.explainer._unit_range", np.ones_like)
    found = evaluate(toy_model, PROMPTS, judge="toy", duration=0.4, repeats=1, methods=["attention"])
    assert np.abs(found["fid_f"]).max() < 1e-6 and np.abs(found["kl_f"]).max() < 1e-9 and (found["size"] == 1).all()
    assert (found["kl_cf"] > 1e-4).all()


def test_masks_can_be_stretched(toy_model):
    """Attention sums to one over tokens, so that its own mask is small."""
    own, stretched = (evaluate(toy_model, PROMPTS, judge="toy", mask=mask, **SHORT) for mask in ("own", "stretched"))
    generation = toy_model.generate(PROMPTS[0], duration=0.4)
    importance = explain(toy_model, generation, method="attention").importance
    assert own["size"][0] == pytest.approx(importance.mean(), rel=1e-5)
    low, high = importance.min(), importance.max()
    assert stretched["size"][0] == pytest.approx(((importance - low) / (high - low)).mean(), rel=1e-5)
    assert (own["kl_f"] != stretched["kl_f"]).all()


def test_ranked_masks_are_all_of_one_size(toy_model):
    found = evaluate(toy_model, PROMPTS, judge="toy", mask="ranked", duration=0.4, repeats=1,
                     methods=["attention", "random", "leave-one-out"])
    assert found["size"] == pytest.approx(0.5, abs=1e-6)


def test_a_world_brings_its_captions_and_truth(toy_model):
    found = evaluate(toy_model, world="toy", limit=3, duration=0.48, methods=["attention"])
    world = load_world("toy")
    cases = list(world.cases(3))
    assert found["prompt"].tolist() == [case.prompt for case in cases] and set(found["kind"]) == {"two"}
    generation = toy_model.generate(cases[2].prompt, seed=2, duration=0.48)
    importance = explain(toy_model, generation, method="attention").word_importance()
    expected = truth_scores(importance, world.truth(cases[2], generation.times))
    for name, value in expected.items():
        np.testing.assert_equal(found[name][2], value)
    assert "fid_f" not in found.columns


def test_curves_and_captums_metrics(toy_model):
    metrics = ["curves", "infidelity", "sensitivity"]
    found = evaluate(toy_model, PROMPTS[:1], judge="toy", metrics=metrics, duration=0.4, methods=["leave-one-out"])
    (row,) = found
    assert 0 <= row["deletion"] <= 1 and 0 <= row["insertion"] <= 1 and row["sensitivity"] > 0 <= row["infidelity"]
    assert "fid_f" not in row


def test_methods_have_names_and_settings(toy_model):
    methods = {"few": ("learned", {"steps": 1}), "more": ("learned", {"steps": 2})}
    found = evaluate(toy_model, PROMPTS[:1], judge="toy", methods=methods, duration=0.4, repeats=1)
    assert found["method"].tolist() == ["few", "more"] and found["size"][0] != found["size"][1]


def test_one_failure_stops_nothing_else(toy_model, monkeypatch):
    real = scoring.explain

    def explained(model, generation, *, method, **settings):
        if method == "attention" and generation.prompt == PROMPTS[0]:
            raise NumericalError("NaN at\nstep 3")
        return real(model, generation, method=method, **settings)

    monkeypatch.setattr(scoring, "explain", explained)
    found = evaluate(toy_model, [*PROMPTS, "one two three four five six seven eight nine"], judge="toy", **SHORT)
    assert [(row["number"], row["method"]) for row in found.errors] == [
        (1, "attention"), (4, "attention"), (4, "leave-one-out")]
    assert found.errors[0]["error"] == "NaN at step 3" and "10 tokens" in found.errors[2]["error"]
    assert np.isnan(found["fid_f"][0]) and np.isfinite(found["fid_f"][1:6]).all()
    assert {row.prompts for row in found.summary if row.method == "leave-one-out"} == {3}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_tables_hold_what_was_found(toy_model, out):
    found = evaluate(toy_model, PROMPTS, judge="toy", out=out, **SHORT)
    for table in (pd.read_csv(out / "results.csv"), pd.read_parquet(out / "results.parquet")):
        assert table.shape == (6, len(found.columns))
        np.testing.assert_allclose(table["kl_f"].to_numpy(float), found["kl_f"])
    summary = pd.read_csv(out / "summary.csv")
    assert len(summary) == len(found.summary) and (out / "summary.md").read_text() == found.to_markdown()


def test_it_goes_on_where_it_stopped_and_loses_nothing(toy_model, out, monkeypatch):
    once = evaluate(toy_model, PROMPTS, judge="toy", **SHORT)
    real, made = scoring.Bench.rows, []

    def rows(bench, case):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(case.prompt)
        return real(bench, case)

    monkeypatch.setattr(scoring.Bench, "rows", rows)
    with pytest.raises(KeyboardInterrupt):
        evaluate(toy_model, PROMPTS, judge="toy", out=out, **SHORT)
    assert not (out / "results.csv").exists()
    made.clear()
    again = evaluate(toy_model, PROMPTS, judge="toy", out=out, **SHORT)
    assert made == PROMPTS[2:]
    timed = ("seconds", "words")
    assert [{k: v for k, v in row.items() if k not in timed} for row in again] == [
        {k: v for k, v in row.items() if k not in timed} for row in once]


def test_a_finished_folder_is_not_done_again_and_can_be_extended(toy_model, out, monkeypatch):
    evaluate(toy_model, PROMPTS[:2], judge="toy", out=out, **SHORT)
    asked = []
    found = evaluate(toy_model, PROMPTS, judge="toy", out=out, on_prompt=lambda *a: asked.append(a[:2]), **SHORT)
    assert asked == [(1, 1)] and len(found) == 6


def test_what_failed_is_tried_again(toy_model, out, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(scoring, "explain", lambda *a, **k: 1 / 0)
        first = evaluate(toy_model, PROMPTS[:1], judge="toy", out=out, **SHORT)
    assert first.errors[0]["error"] == "unexpected ZeroDivisionError: division by zero"
    assert pd.read_csv(out / "results.csv")["error"].notna().all()
    assert not evaluate(toy_model, PROMPTS[:1], judge="toy", out=out, **SHORT).errors


def test_a_folder_of_other_settings_or_prompts_is_refused(toy_model, out):
    evaluate(toy_model, PROMPTS[:1], judge="toy", out=out, **SHORT)
    with pytest.raises(SettingError, match=r"other settings \(generate, seed\): give another folder"):
        evaluate(toy_model, PROMPTS[:1], judge="toy", out=out, seed=4, **{**SHORT, "duration": 0.8})
    with pytest.raises(SettingError, match=r"other prompts \(number 1 is 'a dog barks'\)"):
        evaluate(toy_model, PROMPTS[1:], judge="toy", out=out, **SHORT)
    (out / "settings.json").write_text("{}")
    with pytest.raises(FormatError, match=r"settings.json is not of an evaluation"):
        evaluate(toy_model, PROMPTS[:1], judge="toy", out=out, **SHORT)


def test_a_damaged_file_is_told(toy_model, out):
    evaluate(toy_model, PROMPTS[:1], judge="toy", out=out, **SHORT)
    file = out / "prompts" / "000001.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "rows": [1]}))
    with pytest.raises(FormatError, match="does not hold the rows of a prompt: delete it"):
        evaluate(toy_model, PROMPTS[:1], judge="toy", out=out, **SHORT)


@pytest.mark.parametrize(("settings", "told"), [
    ({"repeats": 0}, "repeats must be"), ({"top": 0}, "top must be"), ({"seed": -1}, "seed must be"),
    ({"limit": 0}, "limit must be"), ({"metrics": ["fidelty"]}, "no metric 'fidelty': did you mean fidelity?"),
    ({"metrics": ["truth"]}, "needs a world"), ({"judge": None}, "nothing to score by"),
    ({"methods": []}, "at least one"), ({"world": "toy"}, "its own cases alone"),
    ({"methods": "learned"}, "sequence of names"), ({"truth": "true"}, "truth must be one of"),
    ({"mask": "wide"}, "mask must be one of"),
    ({"truth": "given", "world": "toy", "prompts": None}, "takes no sounds in"), ({"prompts": []}, "no prompt"),
    ({"prompts": "a dog"}, "not one text"), ({"prompts": None}, "give prompts"),
    ({"methods": {"x": ("learned", {"stepz": 1})}}, "no setting 'stepz'"),
    ({"world": "toy", "prompts": None, "split": "train"}, "no split"),
    ({"judge": None, "metrics": ["curves"]}, "needs a judge"),
])
def test_what_cannot_be(toy_model, settings, told):
    with pytest.raises(SettingError, match=told):
        evaluate(toy_model, **{"prompts": PROMPTS, "judge": "toy", "methods": ["attention"], **settings})


def test_names_that_do_not_exist(toy_model):
    for settings, told in (({"methods": ["atention"]}, "did you mean attention"), ({"judge": "toi"}, "mean toy"),
                           ({"world": "toi", "prompts": None}, "mean toy")):
        with pytest.raises(UnknownKeyError, match=told):
            evaluate(toy_model, **{"prompts": PROMPTS, "judge": "toy", **settings})


def test_a_folder_that_cannot_be_written(toy_model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        evaluate(toy_model, PROMPTS, judge="toy", out=tmp_path / "file", **SHORT)


def test_cases_bring_columns_and_seeds(toy_model, out):
    cases = [Case("a dog", 5, {"youtube_id": "x1"}), Case("rain", 6, {"youtube_id": "x2"})]
    found = evaluate(toy_model, cases, judge="toy", seed=1, out=out, **SHORT)
    assert found["youtube_id"].tolist() == ["x1", "x1", "x2", "x2"] and found["seed"].tolist() == [6, 6, 7, 7]
    assert sorted(os.listdir(out / "prompts")) == ["000001.json", "000002.json"]
