"""Sounds that the model did not make: their codes are those of the library's own codec, and they can be explained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from xattnmask_transformers.delay import delay

import xattnmask
from xattnmask import SettingError

RATE = 400


def sound(seconds, channels=1, rate=RATE):
    """Noise so loud that the random codec tells its frames apart."""
    made = 30 * np.random.default_rng(0).standard_normal((channels, int(seconds * rate))).astype(np.float32)
    return made[0] if channels == 1 else made


def codes_of(model, row):
    """[codebooks, frames], by the codec's own encode."""
    with torch.no_grad():
        return model.backbone.audio_encoder.encode(torch.from_numpy(row)[None, None]).audio_codes[0, 0]


def test_codes_are_the_codecs_own(musicgen):
    audio = sound(0.64)
    found = musicgen.encode("a dog", audio, RATE)
    assert torch.equal(found.replay["codes"], codes_of(musicgen, audio))
    assert found.replay["codes"].shape == (4, 16) and len(set(found.replay["codes"].flatten().tolist())) > 4
    np.testing.assert_array_equal(found.audio, audio)
    assert found.encoded and found.model == "musicgen" and found.sample_rate == RATE
    np.testing.assert_allclose(found.times, np.arange(17) * 0.04)


def test_codebooks_of_stereo_alternate_as_in_the_library(stereo):
    audio = sound(0.64, channels=2)
    found = stereo.encode("a dog", audio, RATE).replay["codes"]
    assert torch.equal(found[0::2], codes_of(stereo, audio[0])) and torch.equal(found[1::2], codes_of(stereo, audio[1]))
    kwargs = stereo.backbone._prepare_audio_encoder_kwargs_for_generation(torch.from_numpy(audio)[None], {})
    theirs = kwargs.get("decoder_input_ids", kwargs.get("audio_codes"))
    assert torch.equal(found.flatten(), theirs.flatten())


def test_what_is_made_again_from_the_codes_has_the_codes_of_a_generation(musicgen):
    made = musicgen.generate("a dog", seed=0, duration=0.64)
    taken = musicgen.encode("a dog", made.audio, RATE)
    assert taken.positions.tolist() == made.positions.tolist()
    columns = delay(taken.replay["codes"], musicgen.delays, musicgen.start)
    assert musicgen.replay(taken).shape == (1, columns.shape[1], 24)


def test_channels_and_rates_are_brought_into_form(musicgen, stereo):
    wide = sound(0.64, channels=3, rate=2 * RATE)
    assert musicgen.encode("a dog", wide, 2 * RATE).audio.shape == (256,)
    found = stereo.encode("a dog", sound(0.64), RATE)
    assert found.audio.shape == (2, 256) and torch.equal(found.replay["codes"][0::2], found.replay["codes"][1::2])


def test_the_rest_of_a_frame_is_silence(musicgen):
    audio = sound(0.65)
    found = musicgen.encode("a dog", audio, RATE)
    assert torch.equal(found.replay["codes"], codes_of(musicgen, np.pad(audio, (0, 12))))
    assert len(found.times) == 18 and found.audio.shape == (260,)


def test_it_can_be_explained_but_not_made_again(model):
    taken = model.encode("a dog then a siren", sound(0.64), RATE)
    explanation = xattnmask.explain(model, taken, method="attention")
    assert explanation.importance.shape == (16, len(taken.tokens)) and np.isfinite(explanation.importance).all()
    assert explanation.generation_settings["encoded"] is True
    for again in (lambda: model.regenerate(taken), lambda: xattnmask.edit(model, taken, {"dog": 0.0})):
        with pytest.raises(SettingError, match="did not make this sound"):
            again()


@pytest.mark.parametrize(("audio", "rate", "told"), [
    (np.zeros(0, np.float32), RATE, "empty"), (np.full(100, np.nan, np.float32), RATE, "NaN"),
    (np.zeros(100, np.int16), RATE, "floats"), (np.zeros(100, np.float32), 0, "sample rate must be above 0"),
    (sound(4.1), RATE, r"the audio has 4.10 s and the model makes at most 4 s: cut it"),
    (sound(0.05), RATE, "must have at least 0.12 s"),
])
def test_what_cannot_be_taken_in(musicgen, audio, rate, told):
    with pytest.raises(SettingError, match=told):
        musicgen.encode("a dog", audio, rate)


def test_an_empty_prompt(musicgen):
    with pytest.raises(xattnmask.PromptError):
        musicgen.encode(" ", sound(0.64), RATE)


def test_editing_takes_a_word_out_of_real_attention(model):
    made = model.generate("a dog then a siren", seed=0, duration=0.64)
    assert np.array_equal(xattnmask.edit(model, made, {}).audio, made.audio)
    edited = {depth: xattnmask.edit(model, made, {"dog": 0.0, "siren": 2.0}, depth=depth).audio
              for depth in ("cross", "encoder", None)}
    assert all(audio.shape == made.audio.shape and not np.array_equal(audio, made.audio) for audio in edited.values())
    assert np.array_equal(edited["encoder"], edited[None]) and not np.array_equal(edited["encoder"], edited["cross"])
