"""Attribution methods on the trained model: the words that sound outrank those that mean nothing."""

import numpy as np
import pytest
from xattnmask_foley.world import parse, truth

import xattnmask as xm

CAPTION = "we hear a loud bell followed by the rain"
FINDS_ALL = ["leave-one-out", "atman", "attention-gradient", "integrated-gradients", "shapley"]
"""Methods under which every cause outranks every filler. Attention and rollout put an article above both sources, and
are true in time alone; Grad-CAM and random importance are true in neither, here as in the benchmark."""


@pytest.fixture(scope="module")
def model():
    return xm.load("foley-musicgen")


@pytest.fixture(scope="module")
def generation(model):
    return model.generate(CAPTION, seed=0)


def by_unit(model, generation, method):
    """Mean importance over time by unit of the caption, its units, and which of them cause."""
    if method in ("integrated-gradients", "shapley"):
        pytest.importorskip("captum")
    caption = parse(CAPTION)
    importance = xm.explain(model, generation, method=method).word_importance().mean(0)
    units = np.array(caption.unit_of_word())
    members = [units == unit for unit in range(units.max() + 1)]
    causes = truth(caption, 0, 100)
    return (np.array([importance[mine].max() for mine in members]), [unit.text for unit in caption.units],
            np.array([causes[:, mine].any() for mine in members]))


@pytest.mark.parametrize("method", FINDS_ALL)
def test_every_cause_outranks_every_filler(model, generation, method):
    mean, texts, causes = by_unit(model, generation, method)
    assert causes.any() and not causes.all()
    assert mean[causes].min() > mean[~causes].max(), dict(zip(texts, mean.tolist(), strict=True))


@pytest.mark.parametrize(("method", "times"), [("attention", 2), ("rollout", 1.2), ("attention-gradient", 2)])
def test_attention_follows_the_sources_in_time(model, generation, method, times):
    """Bell against rain: all attention to either grows or falls over a clip, under rollout most."""
    importance = xm.explain(model, generation, method=method).word_importance()
    bell, rain = (importance[:, CAPTION.split().index(word)] for word in ("bell", "rain"))
    assert bell[:45].mean() / rain[:45].mean() > times * bell[55:].mean() / rain[55:].mean()


@pytest.mark.parametrize("method", ["grad-cam", "random"])
def test_the_others_run(model, generation, method):
    importance = xm.explain(model, generation, method=method).word_importance()
    assert importance.shape == (len(generation.times) - 1, 9) and np.isfinite(importance).all()
    assert importance.min() >= 0 and (importance.max(0) > 0).all()
