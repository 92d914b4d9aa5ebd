"""Settings sought by Optuna."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import Case, FormatError, SettingError, evaluate
from xattnmask.evaluation import scoring
from xattnmask.plugins.registry import world
from xattnmask.studies import load_study
from xattnmask.studies.tuning import settings_of

FEW = {"trials": "3"}


def test_the_best_of_what_was_tried_is_tried_on_other_captions(setup, toy_model, tmp_path):
    found = load_study("tuning").run(setup(options=FEW, judge=None, out=tmp_path))
    assert len(found.rows) == 3 and {"start", "steps", "lr", "alpha", "beta", "frame_auc"} <= set(found.rows[0])
    best = max(found.rows, key=lambda row: row["frame_auc"])
    assert f"| steps | {best['steps']} |" in found.table and "| tuned |" in found.table
    assert "| adaptive |" in found.table and "| adaptive, from 1/2 |" in found.table
    settings = {name: value for name, value in best.items() if name not in ("trial", "frame_auc")}
    again = evaluate(toy_model, list(world("toy").cases(2, split="validation")), methods={"x": ("learned", settings)},
                     world="toy", duration=0.48)
    assert best["frame_auc"] == pytest.approx(np.mean(again["frame_auc"]))
    assert len(found.save(tmp_path)) == 3


def test_settings_of_other_models_are_tried_here(setup, toy_model, tmp_path):
    """Their best, of the folders that are named, on this model's captions; what differs from tuned is told."""
    for name in "ab":
        (tmp_path / name).mkdir()
    other = load_study("tuning").run(setup(options={"trials": "2"}, judge=None, out=tmp_path / "a", seed=7))
    best = max(other.rows, key=lambda row: row["frame_auc"])
    found = load_study("tuning").run(setup(
        options={"trials": "1", "with": f"{tmp_path / 'a'}, "}, judge=None, out=tmp_path / "b"))
    settings = {name: value for name, value in best.items() if name not in ("trial", "frame_auc")}
    again = evaluate(toy_model, methods={"x": ("learned", settings)}, world="toy", duration=0.48, limit=2)
    assert f"| from {tmp_path / 'a'} | {np.mean(again['frame_auc']):.3f}" in found.table
    own = {name: value for name, value in found.rows[0].items() if name not in ("trial", "frame_auc")}
    tuned = evaluate(toy_model, methods={"x": ("learned", own)}, world="toy", duration=0.48, limit=2)
    gap = np.mean(again["frame_auc"]) - np.mean(tuned["frame_auc"])
    assert found.notes[-1].startswith(f"frame AUC of 'from {tmp_path / 'a'}' less that of 'tuned': {gap:+.3f} [")


@pytest.mark.parametrize("content", [None, "", "no journal\n"])
def test_folders_without_a_search(setup, tmp_path, content):
    folder = tmp_path / "other"
    folder.mkdir()
    if content is not None:
        (folder / "tuning.log").write_text(content)
    with pytest.raises(FormatError, match="holds no tuning of another model"):
        load_study("tuning").run(setup(options={**FEW, "with": str(folder)}))
    assert [file.name for file in folder.iterdir()] == ([] if content is None else ["tuning.log"])


def test_the_comparison_goes_on_in_its_folder(setup, tmp_path):
    first = load_study("tuning").run(setup(options=FEW, judge=None, out=tmp_path))
    (folder,) = tmp_path.glob("evaluation-*")
    (folder / "prompts" / "000002.json").unlink()
    again = load_study("tuning").run(setup(options=FEW, judge=None, out=tmp_path))
    assert again.notes == first.notes and len(list((folder / "prompts").iterdir())) == 2
    assert again.panels[0] == first.panels[0]


def test_it_goes_on_in_its_folder(setup, tmp_path):
    asked = []
    first = load_study("tuning").run(setup(options=FEW, judge=None, out=tmp_path))
    more = load_study("tuning").run(setup(options={"trials": "4"}, judge=None, out=tmp_path,
                                          on_prompt=lambda *a: asked.append(a[:2])))
    assert asked == [(4, 4)] and more.rows[:3] == first.rows


def test_what_should_be_low_is_sought_low(setup):
    found = load_study("tuning").run(setup(options={"trials": "3", "goal": "kl_f"}))
    best = min(found.rows, key=lambda row: row["kl_f"])
    assert f"| steps | {best['steps']} |" in found.table and best["kl_f"] >= 0


def test_prompts_are_parted(setup):
    prompts = [Case("a dog"), Case("rain"), Case("wind")]
    found = load_study("tuning").run(setup(world=None, prompts=prompts, options={"trials": "1"}))
    assert "fid_cf" in found.rows[0] and "1 trials on 1 captions" in found.notes[0] and "of 2 other" in found.notes[0]
    with pytest.raises(SettingError, match="two prompts at least"):
        load_study("tuning").run(setup(world=None, prompts=prompts[:1], options=FEW))


def test_settings():
    assert settings_of({"start": "1/2", "steps": 3}) == {"start": 0.0, "steps": 3}
    assert settings_of({"start": "leave-one-out"}) == {"start": "leave-one-out"}


@pytest.mark.parametrize("options", [{"goal": "size"}, {"trials": "0"}, {"trials": "some"}])
def test_what_cannot_be(setup, options):
    with pytest.raises(SettingError, match="goal must be one of"):
        load_study("tuning").run(setup(options=options))


def test_where_every_trial_fails(setup, monkeypatch):
    monkeypatch.setattr(scoring, "explain", lambda *a, **k: 1 / 0)
    with pytest.raises(SettingError, match="no trial gave a score"):
        load_study("tuning").run(setup(options=FEW))
