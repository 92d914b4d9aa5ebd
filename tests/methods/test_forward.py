"""The masked model as a function: against the public patch and cosines by hand, for tensors and arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

import xattnmask as xm

POSITIONS, WORDS, TOKENS = 10, 4, 5


@torch.no_grad()
def by_patch(model, sound, mask):
    """Cosines [positions] of the states under ``mask`` [tokens] with the unmasked ones."""
    clean = model.replay(sound)[0]
    with xm.patch(model, mask[None]):
        return cosine_similarity(model.replay(sound)[0], clean, dim=-1).numpy()


def test_words_are_masked_with_their_tokens_and_the_rest_stays(toy_model, sound):
    tokens = (*sound.tokens[:3], xm.Token(5, "loud", 12, 16), xm.Token(6, "ly", 16, 18), sound.tokens[-1])
    sound = replace(sound, tokens=tokens)
    forward = xm.masked_forward(toy_model, sound)
    assert forward.names == ("a", "dog", "barks", "loudly") and forward.groups[3] == (3, 4)
    masks = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 0.5, 0.25]])
    found = forward(masks)
    assert found.shape == (3, POSITIONS) and isinstance(found, np.ndarray)
    for row, mask in zip(found, masks, strict=True):
        expanded = torch.tensor([*mask[:3], mask[3], mask[3], 1.0])
        np.testing.assert_allclose(row, by_patch(toy_model, sound, expanded), atol=1e-5)


def test_tokens_include_special_ones(toy_model, sound):
    forward = xm.masked_forward(toy_model, sound, by="token")
    assert forward.names == ("a", "dog", "barks", "loudly", "</s>")
    mask = torch.tensor([1.0, 1.0, 0.5, 1.0, 0.0])
    np.testing.assert_allclose(forward(mask[None]).detach()[0], by_patch(toy_model, sound, mask), atol=1e-5)


@pytest.mark.parametrize(("score", "none"), [("error", 0.0), ("advance", 0.0)])
def test_scores_from_nothing_to_all(toy_model, sound, score, none):
    forward = xm.masked_forward(toy_model, sound, by="token", score=score)
    found = forward(np.stack([np.zeros(TOKENS), np.ones(TOKENS)]).astype(np.float32))
    np.testing.assert_allclose(found[0], none, atol=1e-5)
    with torch.no_grad():
        clean = toy_model.replay(sound)[0].double()
        with xm.patch(toy_model, torch.zeros(1, TOKENS)):
            moved = (clean - toy_model.replay(sound)[0].double()).norm(dim=-1) / clean.norm(dim=-1)
    np.testing.assert_allclose(found[1], moved.numpy() if score == "advance" else 1.0, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_any_batch_and_the_mean(toy_model, sound, batch):
    masks = np.random.default_rng(0).random((5, WORDS))
    whole = xm.masked_forward(toy_model, sound)(masks)
    np.testing.assert_allclose(xm.masked_forward(toy_model, sound, batch=batch)(masks), whole, atol=1e-6)
    mean = xm.masked_forward(toy_model, sound, batch=batch, output="mean")(masks)
    assert mean.shape == (5, 1)
    np.testing.assert_allclose(mean[:, 0], whole.mean(1), atol=1e-6)


def test_a_mask_for_each_position(toy_model, sound):
    forward = xm.masked_forward(toy_model, sound, context="frozen")
    masks = torch.ones(1, POSITIONS, WORDS)
    masks[:, 4, 1] = 0
    found = forward(masks).detach()[0]
    shared = forward(torch.tensor([[1.0, 0.0, 1.0, 1.0]])).detach()[0]
    others = [t for t in range(POSITIONS) if t != 4]
    np.testing.assert_allclose(found[others], 1, atol=1e-6)
    np.testing.assert_allclose(found[4], shared[4], atol=1e-6)
    assert found[4] < 0.999


def test_gradients_reach_the_mask(toy_model, sound):
    """As far as the mask moves, the score moves by the integral of its gradient, here by Simpson's rule."""
    forward, slopes = xm.masked_forward(toy_model, sound, batch=2), []
    way = torch.tensor([[0.2, 0.5, 0.9, 0.5], [0.2, 0.9, 0.1, 0.5]])
    for share in (0.0, 0.5, 1.0):
        mask = ((1 - share) * way[:1] + share * way[1:]).requires_grad_()
        forward(mask).sum().backward()
        assert (mask.grad != 0).all()
        slopes.append((mask.grad * (way[1:] - way[:1])).sum().item())
    moved = (forward(way[1:]) - forward(way[:1])).sum().item()
    assert (slopes[0] + 4 * slopes[1] + slopes[2]) / 6 == pytest.approx(moved, rel=1e-2)


def test_captum_and_a_loop_agree(toy_model, sound):
    attr = pytest.importorskip("captum.attr")
    forward = xm.masked_forward(toy_model, sound, output="mean")
    found = attr.FeatureAblation(lambda mask: forward(mask)[:, 0]).attribute(torch.ones(1, WORDS))[0]
    for word in range(WORDS):
        mask = torch.ones(TOKENS)
        mask[word] = 0
        assert found[word].item() == pytest.approx(1 - by_patch(toy_model, sound, mask).mean(), abs=1e-5)


def test_settings_act(toy_model, sound):
    mask = np.array([[1, 0, 1, 1.0]])
    found = [xm.masked_forward(toy_model, sound, **settings)(mask)[0]
             for settings in ({}, {"context": "none"}, {"rule": "bias"}, {"layers": [0]})]
    assert all(not np.allclose(found[i], found[j], atol=1e-4) for i in range(4) for j in range(i))


@pytest.mark.parametrize(("settings", "message"), [
    ({"by": "letter"}, "by must be one of token, word"), ({"score": "loss"}, "score must be one of"),
    ({"output": "sum"}, "output must be one of"), ({"batch": 0}, "batch must be"), ({"bins": 3}, "for diffusion"),
    ({"bin": 3}, "no setting 'bin'; did you mean bins"), ({"context": "past"}, "context must be"),
])
def test_wrong_settings(toy_model, sound, settings, message):
    with pytest.raises(xm.SettingError, match=message):
        xm.masked_forward(toy_model, sound, **settings)


@pytest.mark.parametrize("shape", [(4,), (1, 3), (1, 10, 5), (0, 4), (1, 1, 10, 4)])
def test_masks_of_a_wrong_shape_name_the_columns(toy_model, sound, shape):
    with pytest.raises(xm.SettingError, match=r"a mask is \[batch, 4\].*\(a, dog, barks, loudly\), not"):
        xm.masked_forward(toy_model, sound)(np.ones(shape))
    with pytest.raises(xm.SettingError, match=r"lies in \[0, 1\]"):
        xm.masked_forward(toy_model, sound)(np.full((1, 4), 1.5))
