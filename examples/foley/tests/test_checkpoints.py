"""The trained models do what their card says, and an explanation of them is true."""

import numpy as np
import pytest
import torch
from xattnmask_foley.checkpoint import FOLDER
from xattnmask_foley.judge import FoleyJudge
from xattnmask_foley.training.card import hear
from xattnmask_foley.training.codec import decode, encode
from xattnmask_foley.training.corpus import TEST, captions, clips
from xattnmask_foley.world import SAMPLE_RATE, SOURCES, parse, render, truth

import xattnmask as xm


@pytest.fixture(scope="module")
def model():
    return xm.load("foley-musicgen")


@pytest.fixture(scope="module")
def judge():
    return FoleyJudge.load()


def share(results):
    return np.mean([result.found for result in results])


def test_weights_are_half_precision_and_small():
    folders = [FOLDER / name for name in ("foley-musicgen", "foley-judge")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) <= 12e6
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pkl")]


def test_judge_hears_the_sources_of_renders(judge):
    assert share([hear(judge, clip.caption, clip.audio) for clip in clips(TEST, 60)]) >= 0.9


def test_judge_resamples(judge):
    clip = next(clips(TEST, 1, None))
    double = np.repeat(clip.audio, 2)
    np.testing.assert_allclose(judge(double, 2 * SAMPLE_RATE), judge(clip.audio, SAMPLE_RATE), atol=0.1)
    assert judge.frames(clip.audio, SAMPLE_RATE).shape == (100, len(SOURCES))
    assert judge(clip.audio[:100], SAMPLE_RATE).shape == (len(SOURCES),)


def test_codec_keeps_the_sources(judge, model):
    codec = model.backbone.audio_encoder
    heard = [
        hear(judge, clip.caption, decode(codec, encode(codec, clip.audio[None]))[0])
        for clip in clips(TEST, 30, "successive")
    ]
    assert share(heard) >= 0.95


def test_model_plays_what_the_caption_says(judge, model):
    heard = []
    for caption, seed in captions(TEST, 20, "successive", babble=0.0):
        generation = model.generate(caption.text, seed=seed)
        heard.append(hear(judge, caption, generation.audio, generation.sample_rate))
    ordered = [result.ordered for result in heard if result.ordered is not None]
    assert share(heard) >= 0.85  # 18 of 20, and 14 of 18 in order
    assert np.mean(ordered) >= 0.75


def test_explanation_of_the_demo_is_true(model, judge):
    caption = parse("we hear a loud bell followed by the rain")
    generation = model.generate(caption.text, seed=0)
    assert hear(judge, caption, generation.audio).ordered
    importance = xm.explain(model, generation).word_importance()
    units = np.array(caption.unit_of_word())
    by_unit = np.stack([importance[:, units == unit].max(1) for unit in range(units.max() + 1)], 1)
    causes = np.stack([truth(caption, 0, 100)[:, units == unit].any((0, 1)) for unit in range(units.max() + 1)])
    mean = by_unit.mean(0)
    named = {unit.text: round(float(value), 3) for unit, value in zip(caption.units, mean, strict=True)}
    assert mean[causes].min() > mean[~causes].max(), named
    texts = [unit.text for unit in caption.units]
    bell, rain = by_unit[:, texts.index("bell")], by_unit[:, texts.index("rain")]
    assert bell[:45].mean() > rain[:45].mean() and rain[55:].mean() > bell[55:].mean()


def test_a_rendered_clip_is_taken_in_as_training_coded_it(model):
    audio = render(parse("a dog then a siren"), seed=1)
    taken = model.encode("a dog then a siren", audio, SAMPLE_RATE)
    assert torch.equal(taken.replay["codes"], encode(model.backbone.audio_encoder, audio[None])[0])


def test_a_sound_of_the_models_own_is_explained_alike_when_it_is_taken_in(model):
    """Coded anew, some of its codes are others; what made which part of it is not."""
    made = model.generate("we hear a loud bell followed by the rain", seed=0)
    taken = model.encode(made.prompt, made.audio, made.sample_rate)
    before, after = (xm.explain(model, sound).word_importance() for sound in (made, taken))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9
    assert before.mean(0).argmax() == after.mean(0).argmax()


def test_taking_a_word_away_takes_its_sound_away(model, judge):
    made = model.generate("the rain then a siren", seed=0)
    edited = xm.edit(model, made, {"rain": 0.0})
    heard = dict(zip(judge.labels, judge(edited.audio, made.sample_rate), strict=True))
    assert heard["rain"] < 0.5 < heard["siren"]
