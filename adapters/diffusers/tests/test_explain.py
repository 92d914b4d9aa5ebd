"""Explaining diffusion models: by step and time, in parts as in one, saved, regenerated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xattnmask as xm
from xattnmask.errors import SettingError
from xattnmask.replaying import Grid, StepReplayer

from .conftest import KEYS, PROMPT, close

STEPS = 6


@pytest.fixture
def made(models):
    def make(key):
        model = models(key)
        return model, model.generate(PROMPT, seed=3, duration=0.6, steps=STEPS)

    return make


@pytest.mark.parametrize("key", KEYS)
def test_it_is_explained_saved_and_made_again(made, key, tmp_path):
    model, generation = made(key)
    explanation = xm.explain(model, generation, steps=3, denoising_steps=3, bins=4)
    tokens = len(generation.tokens)
    assert explanation.step_time_importance.shape == (3, 4, tokens)
    assert explanation.importance.shape == (4, tokens) and explanation.step_importance.shape == (3, tokens)
    assert explanation.steps.tolist() == [1, 3, 5] and explanation.times[-1] == pytest.approx(0.6)
    assert {"text", "noise"} <= set(explanation.step_weights)
    assert [w.text for w in explanation.words()] == PROMPT.split()
    sounds = xm.regenerate(model, generation, explanation)
    assert all(sound.shape == generation.audio.shape for sound in sounds.values())
    assert not close(sounds["factual"], sounds["counterfactual"])
    explanation.save(tmp_path)
    assert xm.Explanation.load(tmp_path) == explanation


@pytest.mark.parametrize("key", ["audioldm2", "stable-audio"])
def test_the_loss_falls(made, key):
    """From one value by a tenth at least; from leave-one-out, which leaves less to gain, at all."""
    model, generation = made(key)
    for start, share in ((0.0, 0.9), ("leave-one-out", 1.0)):
        settings = {"steps": 15, "start": start, "denoising_steps": 2, "bins": 3, "tolerance": 0.0}
        total = xm.explain(model, generation, **settings).losses["total"]
        assert total[-1] < share * total[0]


def test_relative_errors_are_those_of_any_representation(made):
    """At a step all four are one prediction, scaled and shifted; a floor of what divides may scale a whole cell."""
    model, generation = made("audioldm2")
    settings = {"method": "leave-one-out", "similarity": "error", "denoising_steps": 2, "bins": 3}
    found = [xm.explain(model, generation, representation=each, **settings).step_time_importance
             for each in ("v", "noise", "x0", "guidance")]
    shares = [cells / cells.sum(-1, keepdims=True) for cells in found]
    for cells, share in zip(found[1:], shares[1:], strict=True):
        np.testing.assert_allclose(share, shares[0], rtol=1e-2, atol=1e-4)
        np.testing.assert_allclose(cells[0], found[0][0], rtol=1e-2, atol=1e-4)  # where all is noise the text does most


def test_a_mask_reaches_the_text_encoders_where_nothing_is_said(made):
    model, generation = made("audioldm2")
    view = {"steps": 1, "denoising_steps": 2, "bins": 2}
    found, deep, shallow = (xm.explain(model, generation, **view, **depth)
                            for depth in ({}, {"depth": "encoder"}, {"depth": "cross"}))
    assert found.settings["depth"] == "encoder"
    np.testing.assert_array_equal(found.importance, deep.importance)
    assert np.abs(found.importance - shallow.importance).max() > 1e-4


@pytest.mark.parametrize("start", ["leave-one-out", 0.0])
def test_one_mask_that_all_steps_share(made, start):
    model, generation = made("audioldm2")
    settings = {"steps": 3, "bins": 3, "start": start}
    shared = xm.explain(model, generation, denoising_steps=3, per_step=False, **settings).step_time_importance
    assert (shared == shared[:1]).all() and np.ptp(shared) > 0
    one, same = (xm.explain(model, generation, denoising_steps=1, per_step=p, **settings) for p in (True, False))
    np.testing.assert_array_equal(one.step_time_importance, same.step_time_importance)
    with pytest.raises(SettingError, match="per_step"):
        xm.explain(model, generation, per_step=False, parameters="mlp")


@pytest.mark.parametrize("method", ["learned", "leave-one-out", "attention"])
def test_rows_split_what_does_not_fit(made, method):
    model, generation = made("audioldm2")
    settings = {"steps": 3} if method == "learned" else {}
    settings |= {"denoising_steps": 4, "bins": 2, "method": method}
    whole, parts = (xm.explain(model, generation, rows=rows, **settings) for rows in (None, 2))
    np.testing.assert_allclose(parts.step_time_importance, whole.step_time_importance, atol=1e-3)


@pytest.mark.parametrize(("method", "settings"), [
    ("learned", {"steps": 2}), ("learned", {"steps": 1, "representation": "guidance"}), ("leave-one-out", {}),
    ("attention", {}),
])  # fmt: skip
def test_no_forward_gets_more_rows_than_allowed_however_many_steps(made, method, settings):
    """Memory follows the rows of a forward: they are the same for more steps, and for more words than rows."""
    model, generation = made("audioldm2")
    seen: list[int] = []
    handle = model.denoiser.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    calls = []
    try:
        for count in (3, 6):
            seen.clear()
            xm.explain(model, generation, method=method, denoising_steps=count, bins=2, rows=2, **settings)
            assert max(seen) == 2
            calls.append(len(seen))
    finally:
        handle.remove()
    assert calls[1] >= 1.5 * calls[0]


def test_states_of_cells_are_the_predictions_of_their_columns(made):
    model, generation = made("audioldm2")
    grid = Grid((1, 4), bins=4, columns=len(generation.positions))
    with torch.no_grad():
        whole = model.denoise(generation, grid.steps).prediction[0]
    found = StepReplayer(model, generation, grid, representation="noise").clean().unflatten(0, (2, 4))
    for bin_, columns in enumerate(np.array_split(np.arange(grid.columns), 4)):
        inside = grid.bin_of_column() == bin_
        assert abs(inside.sum() - len(columns)) <= 1
        expected = whole[:, inside].flatten(1)
        assert torch.equal(found[:, bin_, : expected.shape[1]], expected)
        assert (found[:, bin_, expected.shape[1] :] == 0).all()


@pytest.mark.parametrize("representation", ["noise", "x0", "v", "guidance"])
@pytest.mark.parametrize("similarity", ["cosine", "error"])
def test_representations(made, representation, similarity):
    model, generation = made("stable-audio")
    found = xm.explain(model, generation, steps=2, denoising_steps=2, bins=2, representation=representation,
                       similarity=similarity)
    assert found.settings["representation"] == representation and found.settings["similarity"] == similarity


def test_attention_is_what_the_sites_attend(made):
    model, generation = made("stable-audio")
    found = xm.explain(model, generation, method="attention", denoising_steps=2, bins=1)
    seen: list[torch.Tensor] = []
    tokens = len(generation.tokens)
    with torch.no_grad(), xm.capture_attention(model, lambda site, p: seen.append(p), num_tokens=tokens):
        model.denoise(generation, [1, 4])
    expected = torch.stack([p.mean(1)[:, 1 : 1 + len(generation.positions)].mean(1) for p in seen]).mean(0)
    np.testing.assert_allclose(found.step_importance, expected.numpy(), atol=1e-5)


def test_pooled_text_has_no_attention(made):
    model, generation = made("audioldm")
    with pytest.raises(SettingError, match="reads the prompt as one vector"):
        xm.explain(model, generation, method="attention")


def test_maps_of_time_and_frequency(made):
    """What the sites attend, put onto the latents by their places; an explanation comes with it."""
    model, generation = made("audioldm2")
    found = xm.attention_map(model, generation, denoising_steps=2)
    seen: list[torch.Tensor] = []
    tokens = len(generation.tokens)
    with torch.no_grad(), xm.capture_attention(
        model, lambda site, p: seen.append(p), num_tokens=tokens, roles=("cross",)
    ):
        model.denoise(generation, [1, 4])
    level = torch.stack([p.mean((0, 1)).T.reshape(tokens, 15, 2) for p in seen]).mean(0)  # latents are 30 x 4
    assert found.values.shape == (tokens, 30, 4)
    blocks = torch.from_numpy(found.values).reshape(tokens, 15, 2, 2, 2).mean((2, 4))
    assert np.corrcoef(blocks.flatten(), level.flatten())[0, 1] > 0.99
    assert blocks.mean((1, 2)).numpy() == pytest.approx(level.mean((1, 2)).numpy(), rel=0.02)
    np.testing.assert_array_equal(found.times, generation.times)
    assert found.hertz[0] < 100 and 700 < found.hertz[-1] < 800 and len(found.hertz) == 5
    explained = xm.explain(model, generation, method="attention", denoising_steps=2).attention_map
    assert explained == found
    assert xm.attention_map(model, generation, denoising_steps=2, window=(0, 0.5)) != found


@pytest.mark.parametrize(("key", "told"), [
    ("audioldm", "reads the prompt as one vector"), ("stable-audio", "has no latents of time and frequency"),
])  # fmt: skip
def test_models_without_such_a_map(made, key, told):
    model, generation = made(key)
    with pytest.raises(SettingError, match=told):
        xm.attention_map(model, generation)


@pytest.mark.parametrize(("settings", "message"), [
    ({"context": "frozen"}, "context 'frozen' is for autoregressive models"), ({"bins": 99}, "bins must be"),
    ({"denoising_steps": 0}, "denoising_steps must be"), ({"rows": 0}, "rows must be"),
    ({"window": (0.5, 0.5)}, "window must be"), ({"representation": "x"}, "representation must be one of"),
    ({"streams": ["t6"]}, "t6"), ({"parameters": "mlp"}, "gives no token embeddings"),
])  # fmt: skip
def test_settings_out_of_range(made, settings, message):
    model, generation = made("audioldm2")
    with pytest.raises(SettingError, match=message):
        xm.explain(model, generation, steps=1, **settings)
