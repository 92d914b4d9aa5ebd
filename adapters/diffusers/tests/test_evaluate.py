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


@pytest.mark.parametrize(("key", "attends"), [("audioldm", False), ("audioldm2", True)])
def test_masks_by_step_and_shared_ones_are_heard(models, key, attends):
    """AudioLDM attends to no words: neither mean attention nor an aggregate weighted by it stands in its table."""
    found = load_study("diffusion").run(Setup(
        models(key), [xm.Case(PROMPT)], judge=Ear(), duration=0.6, repeats=1, generate={"steps": 3},
        options={"parts": "masks,baselines,aggregates", "bins": "2"}))
    rows = {row["method"]: row for row in found.rows}
    assert [row["error"] for row in rows.values()] == [None] * len(rows)
    expected = {"a mask for each step", "one mask for all steps", "leave-one-out", "mean over steps", "max over steps",
                "text over steps", "noise over steps"}
    assert set(rows) == expected | ({"mean attention", "attention over steps"} if attends else set())
    assert all(np.isfinite([row["fid_f"], row["fid_cf"]]).all() for row in rows.values())
    assert rows["max over steps"]["size"] >= rows["mean over steps"]["size"]


def test_a_target_size_on_a_denoiser(models):
    model = models("stable-audio")
    generation = model.generate(PROMPT, seed=3, duration=0.6, steps=4)
    found = xm.explain(model, generation, target_size=0.2, start=0.0, steps=100, lr=0.5, bins=4, rows=4)
    assert found.step_time_importance.mean() == pytest.approx(0.2, rel=0.1)
    assert len(set(found.losses["alpha"])) > 1
