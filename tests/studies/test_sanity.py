"""Layers made random from the top: what is reset, what is compared, and that the model comes back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from xattnmask import SettingError
from xattnmask.studies import load_study
from xattnmask.studies.sanity import randomised, similarity, stages_of


def test_stages_go_from_the_top_by_layer_and_hold_each_module_once(toy_model, sound):
    stages = stages_of(toy_model, sound)
    assert [stage.name for stage in stages] == ["norm", "layers.1", "layers.0", "words"]  # the head takes no part
    paths = [path for stage in stages for path in stage.paths]
    assert len(paths) == len(set(paths)) and paths[0] == "norm" and paths[-1] == "words"
    assert {path.rpartition(".")[0] for path in stages[1].paths} == {"layers.1.cross", "layers.1.own"}
    joined = stages_of(toy_model, sound, most=2)
    assert [stage.name for stage in joined] == ["norm to layers.1", "layers.0 to words"]
    assert [path for stage in joined for path in stage.paths] == paths


def test_what_was_reset_stays_so_and_all_comes_back(toy_model, sound):
    before = {name: value.clone() for name, value in toy_model.backbone.state_dict().items()}
    stages = stages_of(toy_model, sound)

    def changed():
        return {name for name, value in toy_model.backbone.state_dict().items() if not torch.equal(value, before[name])}

    counts = []
    with pytest.raises(KeyboardInterrupt), randomised(toy_model, stages, seed=0) as cascade:
        for _ in cascade:
            counts.append(len(changed()))
            if len(counts) == 4:
                assert "words.weight" in changed() and not any(name.startswith("head") for name in changed())
                raise KeyboardInterrupt
    assert counts == sorted(counts) and counts[1] == 16 and counts[3] > counts[2] > counts[1]
    assert not changed()


def test_the_same_seed_makes_the_same_random_model_and_leaves_torch_alone(toy_model, sound):
    stages, seen = stages_of(toy_model, sound), []
    for _ in range(2):
        torch.manual_seed(5)
        with randomised(toy_model, stages, seed=3) as cascade:
            for _ in cascade:
                pass
            seen.append(toy_model.replay(sound).detach().clone())
        assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(*seen)


def test_similarity_is_spearmans():
    rng = np.random.default_rng(0)
    a, b = rng.random((4, 5)), rng.random((4, 5))
    assert similarity(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert similarity(a, np.exp(a)) == pytest.approx(1)
    assert similarity(a, np.ones((4, 5))) is None is similarity(a, None)


def test_explanations_lose_their_likeness(setup, tmp_path):
    found = load_study("sanity").run(setup(limit=4, options={"methods": "leave-one-out,attention", "stages": "4"}))
    assert len(found.rows) == 4 * 2 * 4
    ends = [row["similarity"] for row in found.rows if row["stage"] == 4 and row["method"] == "leave-one-out"]
    starts = [row["similarity"] for row in found.rows if row["stage"] == 1 and row["method"] == "leave-one-out"]
    assert np.mean(ends) < 0.5 < np.mean(starts)
    assert found.panels[0].labels == ("nothing", "norm", "layers.1", "layers.0", "words") and found.panels[0].ordered
    assert "leave-one-out" in found.table and len(found.save(tmp_path)) == 3


@pytest.mark.parametrize("stages", ["0", "many", "-1"])
def test_stages_are_a_number(setup, stages):
    with pytest.raises(SettingError, match="stages must be a whole number"):
        load_study("sanity").run(setup(options={"stages": stages}))
