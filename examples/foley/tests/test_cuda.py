"""The bundled models on a GPU explain as they do on the CPU; skipped where torch sees none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xattnmask as xm

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
NAMES = ("foley-musicgen", "foley-audioldm2", "foley-audioldm")
PROMPT = "we hear a loud dog followed by the rain"


@pytest.fixture(scope="module", params=NAMES)
def sound(request):
    """A sound that the CPU has made, and the model on CPU and GPU."""
    model = xm.load(request.param)
    steps = {} if request.param == "foley-musicgen" else {"steps": 20}
    return model.generate(PROMPT, seed=0, **steps), model, xm.load(request.param, device="cuda")


@pytest.mark.parametrize("method", ["learned", "leave-one-out"])
def test_explains_a_sound_of_the_cpu_alike(sound, method):
    generation, here, there = sound
    expected, found = (xm.explain(model, generation, method=method, seed=0) for model in (here, there))
    np.testing.assert_allclose(found.importance, expected.importance, atol=0.02)
    order = [word.text for word in sorted(expected.words(), key=lambda word: -word.importance)[:2]]
    assert [word.text for word in sorted(found.words(), key=lambda word: -word.importance)[:2]] == order


def test_makes_the_same_sound_again_and_leaves_no_patch(sound):
    generation, _, there = sound
    made = there.generate(PROMPT, seed=0, **generation.settings)
    explanation = xm.explain(there, made)
    np.testing.assert_array_equal(there.regenerate(made).audio, made.audio)
    sounds = xm.regenerate(there, made, explanation)
    assert all(np.isfinite(heard).all() for heard in sounds.values())
    assert not np.array_equal(sounds["counterfactual"], made.audio)
    np.testing.assert_array_equal(there.regenerate(made).audio, made.audio)


def test_an_explanation_is_saved_from_the_gpu_and_read_without_one(sound, tmp_path):
    generation, _, there = sound
    found = xm.explain(there, generation)
    found.save(tmp_path / "explanation")
    again = xm.Explanation.load(tmp_path / "explanation")
    np.testing.assert_array_equal(again.importance, found.importance)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_ranks_the_words_alike(name, dtype):
    model, half = xm.load(name), xm.load(name, device="cuda", dtype=dtype)
    generation = model.generate(PROMPT, seed=0, **({} if name == "foley-musicgen" else {"steps": 20}))
    expected, found = (xm.explain(each, generation).word_importance() for each in (model, half))
    assert np.isfinite(found).all()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95
