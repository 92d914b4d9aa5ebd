"""Attribution methods on the trained model: the words that sound outrank those that mean nothing."""

import numpy as np
import pytest
from xattnmask_foley.world import parse, truth

import xattnmask as xm

CAPTION = "we hear a loud bell followed by the rain"
FINDS_ALL = ["leave-one-out", "atman", "attention-gradient", "integrated-gradients", "shapley"]
"""Methods under which every cause outranks every filler; of ``attention``, ``rollout`` and ``grad-cam`` the sources do
so on average alone, and of ``random`` nothing holds."""


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


@pytest.mark.parametrize("method", ["attention", "rollout", "grad-cam"])
def test_sources_outrank_fillers_on_average(model, generation, method):
    mean, texts, causes = by_unit(model, generation, method)
    sources = np.array([text in ("bell", "rain") for text in texts])
    assert mean[sources].mean() > mean[~causes].mean(), dict(zip(texts, mean.tolist(), strict=True))
