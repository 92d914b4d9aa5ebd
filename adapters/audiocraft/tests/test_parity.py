"""One model, two libraries: the proof that the core knows neither.

The bundled foley-musicgen of transformers and its conversion foley-audiogen of audiocraft have the same weights. With
the same codes they must have the same states, and every method must explain them alike.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import xattnmask as xm
from xattnmask.errors import CheckpointError
from xattnmask.replaying import Replayer

pytest.importorskip("xattnmask_foley")
CAPTION = "we hear a loud bell followed by the rain"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pair(cache):
    """The two adapters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XATTNMASK_CACHE", str(cache))
        return xm.load("foley-musicgen"), xm.load("audiogen", "foley-audiogen")


@pytest.fixture(scope="module")
def sounds(pair):
    """The same codes as a generation of each."""
    theirs, ours = (model.generate(CAPTION, seed=3, duration=2.0) for model in pair)
    return theirs, replace(ours, replay=theirs.replay)


def test_the_checkpoint_is_built_once_and_named_by_what_it_is_made_of(pair, cache, monkeypatch):
    from xattnmask_audiocraft import foley

    monkeypatch.setenv("XATTNMASK_CACHE", str(cache))
    (folder,) = cache.iterdir()
    before = (folder / "state_dict.bin").stat().st_mtime_ns
    assert foley.built() == folder and (folder / "state_dict.bin").stat().st_mtime_ns == before
    assert pair[1].checkpoint == "foley-audiogen"
    monkeypatch.setattr(foley, "_fingerprint", lambda source: "other")
    assert foley.built() == cache / "foley-audiogen-other"


def test_without_foley_musicgen_there_is_none(monkeypatch):
    from xattnmask_audiocraft import foley

    monkeypatch.setattr(foley, "SOURCE", "foley-nothing")
    with pytest.raises(CheckpointError, match="pip install xattnmask-foley"):
        foley.built()


def test_the_cache_folder(monkeypatch):
    from xattnmask_audiocraft.foley import cache_folder

    monkeypatch.delenv("XATTNMASK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/xattnmask")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/xattnmask"


def test_the_prompt_is_cut_alike(pair):
    for prompt in (CAPTION, "A dog, a  dog?", "zebra crossing", "un perro ladró 🐶"):
        theirs, ours = (model.tokenize(prompt) for model in pair)
        assert ours == theirs
    assert pair[0].max_tokens == pair[1].max_tokens and pair[0].max_duration == pair[1].max_duration


@torch.no_grad()
def test_codes_decode_to_the_same_audio(pair, sounds):
    audio = pair[1].codec.decode(sounds[0].replay["codes"][None])[0, 0].numpy()
    np.testing.assert_allclose(audio, sounds[0].audio, atol=1e-4)
    assert np.abs(audio).max() > 0.01


def test_a_given_sound_has_the_same_codes(pair, sounds):
    """Padded as one, cut as one; of 0.4 % of the codes two entries are equally near, to rounding."""
    rate = sounds[0].sample_rate
    theirs, ours = (model.encode(CAPTION, sounds[0].audio[:-100], rate) for model in pair)
    assert (ours.replay["codes"] == theirs.replay["codes"]).float().mean() > 0.99
    np.testing.assert_array_equal(ours.positions, theirs.positions)
    np.testing.assert_allclose(ours.times, theirs.times)


@torch.no_grad()
def test_states_are_the_same(pair, sounds):
    for name in ("replay", "replay_isolated", "token_embeddings", "audio_embeddings"):
        theirs, ours = (getattr(model, name)(sound) for model, sound in zip(pair, sounds, strict=True))
        assert theirs.shape == ours.shape and torch.allclose(theirs, ours, atol=1e-4), name


@pytest.mark.parametrize("depth", ["cross", "encoder"])
@pytest.mark.parametrize("context", ["none", "frozen", "joint"])
@torch.no_grad()
def test_masked_states_are_the_same(pair, sounds, context, depth):
    steps, tokens = sounds[0].positions.max() + 1, len(sounds[0].tokens)
    mask = torch.rand(2, steps, tokens, generator=torch.Generator().manual_seed(0))
    theirs, ours = (Replayer(model, sound, context=context, depth=depth).masked(mask)
                    for model, sound in zip(pair, sounds, strict=True))
    assert torch.allclose(theirs, ours, atol=1e-4)


@pytest.fixture(scope="module")
def double(cache):
    """The two adapters in float64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XATTNMASK_CACHE", str(cache))
        return [xm.load(name, dtype="float64") for name in ("foley-musicgen", "foley-audiogen")]


@pytest.mark.parametrize(("method", "settings"), [
    ("learned", {}), ("learned", {"preset": "paper", "steps": 2}), ("leave-one-out", {}), ("attention", {}),
])
def test_explanations_are_the_same(pair, sounds, method, settings):
    compare(pair, sounds, 1e-3, method=method, **settings)


@pytest.mark.parametrize("depth", ["cross", "encoder"])
@pytest.mark.parametrize("context", ["none", "frozen", "joint"])
def test_learned_masks_are_the_same_in_float64(double, sounds, context, depth):
    """Adam's steps are as long where a gradient is as small as rounding: float32 may turn some of them round."""
    compare(double, sounds, 1e-5, context=context, depth=depth)


def compare(pair, sounds, tolerance, **settings):
    theirs, ours = (xm.explain(model, sound, **settings) for model, sound in zip(pair, sounds, strict=True))
    np.testing.assert_allclose(ours.importance, theirs.importance, atol=tolerance)
    np.testing.assert_allclose(ours.attention, theirs.attention, atol=tolerance)
    close = {name: pytest.approx(values, rel=tolerance, abs=tolerance) for name, values in theirs.losses.items()}
    assert ours.losses == close
    assert theirs.importance.std() > 0


def test_audio_made_again_under_a_mask_is_the_same(pair):
    """Free-running: the seed draws the same codes as long as the probabilities are the same to rounding."""
    theirs, ours = (model.generate(CAPTION, seed=1, duration=2.0) for model in pair)
    mask = torch.rand(1, theirs.positions.max() + 1, len(theirs.tokens), generator=torch.Generator().manual_seed(1))
    made = []
    for model, sound in zip(pair, (theirs, ours), strict=True):
        with xm.patch(model, mask):
            made.append(model.regenerate(sound))
    assert torch.equal(ours.replay["codes"], theirs.replay["codes"])
    assert torch.equal(made[1].replay["codes"], made[0].replay["codes"])
    assert not torch.equal(made[0].replay["codes"], theirs.replay["codes"])
