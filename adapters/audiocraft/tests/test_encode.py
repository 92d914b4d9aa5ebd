"""Sounds that the model did not make: their codes are those of audiocraft's own codec, and they can be explained."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

import xattnmask as xm
from xattnmask.errors import FormatError, PromptError, SettingError

from .conftest import BOOKS, PROMPT

RATE = 400


def sound(seconds, channels=1, rate=RATE):
    """Noise so loud that the random codec tells its frames apart."""
    made = 30 * np.random.default_rng(0).standard_normal((channels, int(seconds * rate))).astype(np.float32)
    return made[0] if channels == 1 else made


def test_codes_are_the_codecs_own(audiogen):
    audio = sound(0.64)
    taken = audiogen.encode(PROMPT, audio, RATE)
    with torch.no_grad():
        theirs, scale = audiogen.codec.encode(torch.from_numpy(audio)[None, None])
    assert scale is None and torch.equal(taken.replay["codes"], theirs[0])
    assert taken.replay["codes"].shape == (BOOKS, 16) and len(set(taken.replay["codes"].flatten().tolist())) > 4
    np.testing.assert_array_equal(taken.audio, audio)
    np.testing.assert_allclose(taken.times, np.arange(17) * 0.04)
    assert taken.encoded and taken.model == "audiogen" and taken.sample_rate == RATE


def test_stereo_is_coded_as_the_wrapped_codec_does(models):
    audio = sound(0.64, channels=2)
    taken = models["stereo"].encode(PROMPT, audio, RATE)
    with torch.no_grad():
        theirs = models["stereo"].codec.encode(torch.from_numpy(audio)[None])[0][0]
    assert torch.equal(taken.replay["codes"], theirs) and len(theirs) == 2 * BOOKS
    assert not torch.equal(theirs[0::2], theirs[1::2])
    twice = models["stereo"].encode(PROMPT, sound(0.64), RATE)
    assert twice.audio.shape == (2, 256) and torch.equal(twice.replay["codes"][0::2], twice.replay["codes"][1::2])


def test_channels_and_rates_are_brought_into_form(audiogen):
    assert audiogen.encode(PROMPT, sound(0.64, channels=3, rate=2 * RATE), 2 * RATE).audio.shape == (256,)


def test_the_rest_of_a_frame_is_silence(audiogen):
    audio = sound(0.65)
    taken = audiogen.encode(PROMPT, audio, RATE)
    padded = audiogen.encode(PROMPT, np.pad(audio, (0, 12)), RATE)
    assert torch.equal(taken.replay["codes"], padded.replay["codes"])
    assert len(taken.times) == 18 and taken.audio.shape == (260,)


def test_a_replay_has_the_positions_of_a_generation(model):
    channels = model.codec.channels
    made, taken = model.generate(PROMPT, duration=0.64), model.encode(PROMPT, sound(0.64, channels), RATE)
    assert taken.positions.tolist() == made.positions.tolist()
    assert model.replay(taken).shape == model.replay(made).shape


def test_it_can_be_explained_but_not_made_again(audiogen):
    taken = audiogen.encode(PROMPT, sound(0.64), RATE)
    explanation = xm.explain(audiogen, taken, steps=2)
    assert explanation.importance.shape == (16, len(taken.tokens)) and np.isfinite(explanation.importance).all()
    assert explanation.generation_settings["encoded"] is True
    with pytest.raises(SettingError, match="did not make this sound"):
        audiogen.regenerate(taken)


@pytest.mark.parametrize(("audio", "rate", "told"), [
    (np.zeros(0, np.float32), RATE, "empty"), (np.full(100, np.nan, np.float32), RATE, "NaN"),
    (np.zeros(100, np.int16), RATE, "floats"), (np.zeros(100, np.float32), 0, "sample rate must be above 0"),
    (sound(30.1), RATE, r"the audio has 30.10 s and the model makes at most 30 s: cut it"),
])
def test_what_cannot_be_taken_in(audiogen, audio, rate, told):
    with pytest.raises(SettingError, match=told):
        audiogen.encode(PROMPT, audio, rate)


def test_a_codec_that_evens_out_loudness(audiogen, monkeypatch):
    monkeypatch.setattr(audiogen.codec, "renormalize", True)
    with pytest.raises(SettingError, match="evens out loudness"):
        audiogen.encode(PROMPT, sound(0.64), RATE)


def test_prompts_and_files_that_are_none(audiogen, tmp_path):
    with pytest.raises(PromptError):
        audiogen.encode(" ", sound(0.64), RATE)
    (tmp_path / "a.wav").write_bytes(b"text")
    with pytest.raises(FormatError, match="cannot read"):
        audiogen.encode(PROMPT, *xm.read_audio(tmp_path / "a.wav"))
    soundfile.write(tmp_path / "b.wav", 0.1 * sound(0.64, channels=2).T / 30, 800)
    assert audiogen.encode(PROMPT, *xm.read_audio(tmp_path / "b.wav")).audio.shape == (128,)
