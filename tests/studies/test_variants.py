"""Ablation, layers, temperature and context: settings of the learned mask, evaluated alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from xattnmask import SettingError, UnknownKeyError, explain
from xattnmask.studies import list_studies, load_study
from xattnmask.studies.variants import COLD

VARIANTS = {
    "ablation": {"both parts", "factual only", "counterfactual only", "without L1", "without L2", "without penalties"},
    "layers": {"all", "first third", "middle third", "last third", "layer 0 alone", "layer 1 alone"},
    "temperature": {"temperature 1", "temperature 0.1", "temperature 0.5", "temperature 2", "annealed, 2 to 0.1",
                    "without sampling"},
    "context": {"none", "frozen", "joint"},
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_is_evaluated(name, setup, tmp_path):
    found = load_study(name).run(setup(limit=1, out=tmp_path))
    methods = {row["method"] for row in found.rows}
    cold = {f"{variant}, from 1/2" for variant in VARIANTS[name]} if name in ("ablation", "context") else set()
    assert methods == VARIANTS[name] | cold
    assert all(row["error"] is None for row in found.rows)
    assert [panel.title for panel in found.panels] == ["frame AUC", "word AUC", "Fid_F", "Fid_CF", "Size"]
    assert set(found.panels[0].labels) == methods and (tmp_path / "evaluation" / "results.csv").exists()
    files = found.save(tmp_path)
    assert [file.name for file in files] == [f"{name}.csv", f"{name}.md", f"{name}.svg"]
    assert len(pd.read_csv(files[0])) == len(methods)
    assert found.table in files[1].read_text() and "Means over 1 prompts" in files[1].read_text()
    assert "layer" in files[2].read_text() if name == "layers" else "<svg" in files[2].read_text()


def test_settings_are_what_the_names_say(toy_model, sound):
    """The sizes of two variants are those of explanations with these settings."""
    variants = load_study("ablation")._variants(toy_model)
    assert variants["factual only, from 1/2"] == ("learned", {**COLD, "objective": "factual"})
    sizes = {}
    for name in ("both parts, from 1/2", "without penalties, from 1/2", "counterfactual only, from 1/2"):
        method, settings = variants[name]
        sizes[name] = float(explain(toy_model, sound, method=method, **settings).importance.mean())
    assert sizes["both parts, from 1/2"] < sizes["without penalties, from 1/2"]
    assert len(set(sizes.values())) == 3


def test_it_goes_on_in_its_folder(setup, tmp_path):
    load_study("context").run(setup(limit=1, out=tmp_path))
    asked = []
    found = load_study("context").run(setup(limit=2, out=tmp_path, on_prompt=lambda *a: asked.append(a[:2])))
    assert asked == [(1, 1)] and len({row["number"] for row in found.rows}) == 2


def test_prompts_in_place_of_a_world(setup):
    from xattnmask import Case

    found = load_study("context").run(setup(world=None, prompts=[Case("a dog"), Case("rain"), Case("wind")]))
    assert {row["prompt"] for row in found.rows} == {"a dog", "rain"}  # the setup's limit is 2
    assert "fid_f" in found.rows[0] and "frame_auc" not in found.rows[0]


def test_all_are_listed_and_unknown_ones_are_not_there():
    names = [study.name for study in list_studies()]
    assert names[:5] == ["ablation", "layers", "temperature", "aggregation", "context"]
    with pytest.raises(UnknownKeyError, match=r"no study 'ablatoin': did you mean ablation\?"):
        load_study("ablatoin")


def test_an_option_that_it_does_not_have(setup):
    with pytest.raises(SettingError, match="study 'layers' has no option 'depth'; it has: none"):
        load_study("layers").run(setup(options={"depth": "2"}))


def test_a_model_without_a_history_has_one_context(setup, toy_model, monkeypatch):
    real = type(toy_model).sites
    monkeypatch.setattr(type(toy_model), "sites", lambda self, n: [s for s in real(self, n) if s.role == "cross"])
    with pytest.raises(SettingError, match="it has one context"):
        load_study("context").run(setup())


def test_the_plot_holds_the_means():
    from xattnmask.metrics import Interval
    from xattnmask.studies.base import Panel
    from xattnmask.studies.plot import figure_of

    panel = Panel("Fid_F", ("a", "b$"), (Interval(0.5, 0.4, 0.6), Interval(float("nan"), float("nan"), float("nan"))))
    (axes,) = figure_of([panel, panel]).axes[:1]
    assert axes.lines[0].get_xdata()[0] == 0.5 and np.isnan(axes.lines[0].get_xdata()[1])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b$"] and axes.get_title() == "Fid_F"


def test_panels_stand_in_rows_and_labels_stand_once():
    from xattnmask.metrics import Interval
    from xattnmask.studies.base import Panel
    from xattnmask.studies.plot import figure_of

    scores = [Panel(name, ("a", "b"), (Interval(0, 0, 0),) * 2) for name in "wxyz"]
    other = Panel("importance", ("step 1",), (Interval(0, 0, 0),))
    axes = figure_of([*scores, other]).axes
    shown = [[text.get_text() for text in place.get_yticklabels()] for place in axes if place.axison]
    assert shown == [["a", "b"], ["", ""], ["", ""], ["a", "b"], ["step 1"]]
    places = [place.get_subplotspec() for place in axes[:5]]
    assert [(p.rowspan.start, p.colspan.start) for p in places] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
