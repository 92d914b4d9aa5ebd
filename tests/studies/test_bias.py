"""Fillers of a template, compared."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f as f_distribution

from xattnmask import SettingError, explain
from xattnmask.metrics import paired_p_value
from xattnmask.studies import load_study
from xattnmask.studies.bias import filler_importance, overall_p_value, parse_template


def test_templates():
    assert parse_template("a  {man, woman,young child} speaks") == ("a ", ["man", "woman", "young child"], " speaks")
    assert parse_template("{a,b}") == ("", ["a", "b"], "")


@pytest.mark.parametrize(("template", "told"), [
    ("", "in one pair of braces"), ("a man speaks", "one pair"), ("a {x,y} and {z,w}", "one pair"),
    ("a {x", "one pair"),
    ("a {man} speaks", "two fillers"), ("a {man,} speaks", "two fillers"), ("a {man,man}", "two fillers"),
])
def test_what_is_no_template(setup, template, told):
    with pytest.raises(SettingError, match=told):
        load_study("bias").run(setup(options={"template": template}))


def test_a_filler_of_several_words_has_the_highest_of_them(toy_model):
    prompt = "a young child speaks"
    explanation = explain(toy_model, toy_model.generate(prompt, duration=0.4), method="leave-one-out")
    rows = [row.importance for row in explanation.words()]
    assert filler_importance(explanation, 2, 13) == max(rows[1:3])
    assert filler_importance(explanation, 2, 7) == rows[1]


def test_sounds_are_paired_by_seed_and_tested(setup, tmp_path):
    options = {"template": "a {dog,bell,siren} sounds", "sounds": "6", "method": "leave-one-out"}
    found = load_study("bias").run(setup(options=options))
    assert len(found.rows) == 18 and {row["seed"] for row in found.rows} == set(range(6))
    values = {filler: np.array([row["importance"] for row in found.rows if row["filler"] == filler])
              for filler in ("dog", "bell", "siren")}
    assert f"| {paired_p_value(values['dog'], values['bell']):.4f} |" in found.table
    assert found.panels[0].intervals[1].mean == pytest.approx(values["bell"].mean())
    assert "6 sounds of each prompt" in found.notes[0] and len(found.save(tmp_path)) == 3


def repeated_measures(values):
    """P-value of the analysis of variance with repeated measures, which the permutation test is close to."""
    fillers, seeds = values.shape
    between = seeds * np.square(values.mean(1) - values.mean()).sum() / (fillers - 1)
    rest = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    within = np.square(rest).sum() / (fillers - 1) / (seeds - 1)
    return f_distribution.sf(between / within, fillers - 1, (fillers - 1) * (seeds - 1))


def test_two_fillers_agree_with_the_paired_test_and_three_find_what_differs():
    rng = np.random.default_rng(0)
    same = rng.normal(size=(3, 8))
    assert overall_p_value(same[:2]) == pytest.approx(paired_p_value(same[0], same[1]), abs=0.02)
    for values in (same, rng.normal(size=(3, 8)), rng.normal(size=(3, 8)) + np.array([[0], [0], [0.5]])):
        assert overall_p_value(values) == pytest.approx(repeated_measures(values), abs=0.03)


@pytest.mark.parametrize("sounds", ["0", "few"])
def test_sounds_are_a_number(setup, sounds):
    with pytest.raises(SettingError, match="sounds must be a whole number"):
        load_study("bias").run(setup(options={"template": "a {b,c}", "sounds": sounds}))
