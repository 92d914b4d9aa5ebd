"""Evaluating on diffusion models: every metric, by cells, with several seeds."""

from __future__ import annotations

import numpy as np
import pytest

import xattnmask as xm
from xattnmask.explainer import mask_of
from xattnmask.studies import Setup, load_study

from .conftest import PROMPT, close

METRICS = ["fidelity", "curves", "infidelity", "sensitivity"]
SETTINGS = {"steps": 2, "denoising_steps": 2, "bins": 2}


class Ear(xm.Judge):
    """Which half of the spectrum is stronger."""

    labels = ("low", "high")

    @classmethod
    def load(cls, checkpoint=None, *, device="cpu"):
        return cls()

    def __call__(self, audio, sample_rate):
        low, high = (np.square(half).sum() + 1e-9 for half in np.array_split(np.abs(np.fft.rfft(audio.ravel())), 2))
        return np.array([low, high]) / (low + high)


@pytest.mark.parametrize("key", ["audioldm", "audioldm2", "stable-audio"])
def test_every_metric(models, key):
    methods = {"learned": ("learned", SETTINGS)}
    found = xm.evaluate(models(key), [PROMPT], methods=methods, judge=Ear(), metrics=METRICS, duration=0.6, repeats=2,
                        generate={"steps": 3})
    (row,) = found
    assert row["error"] is None
    scores = [row[name] for name in ("fid_f", "fid_cf", "kl_f", "kl_cf", "deletion", "insertion", "infidelity")]
    assert np.isfinite(scores).all() and row["sensitivity"] > 0 and 0 < row["size"] < 1


def test_other_seeds_make_other_sounds_under_the_same_mask(models):
    model = models("audioldm2")
    generation = model.generate(PROMPT, seed=3, duration=0.6, steps=4)
    explanation = xm.explain(model, generation, **SETTINGS)
    first, same, other = (xm.regenerate(model, generation, explanation, seed=seed) for seed in (None, 3, 4))
    assert close(first["factual"], same["factual"]) and not close(first["factual"], other["factual"])
    assert mask_of(model, generation, explanation).shape == (2, 2, len(generation.tokens))


def test_layers_and_sanity_run_on_a_denoiser(models):
    setup = Setup(models("stable-audio"), [xm.Case(PROMPT)], judge=Ear(), duration=0.6, repeats=1,
                  generate={"steps": 3})
    layers = load_study("layers").run(setup)
    assert [row["error"] for row in layers.rows] == [None] * len(layers.rows) and len(layers.rows) > 4
    sanity = load_study("sanity").run(Setup(models("stable-audio"), [xm.Case(PROMPT)], duration=0.6,
                                            options={"methods": "leave-one-out", "stages": "2"}, generate={"steps": 3}))
    assert len(sanity.rows) == 2 and all(abs(row["similarity"]) <= 1 for row in sanity.rows)
    with pytest.raises(xm.SettingError, match="one context"):
        load_study("context").run(setup)
