"""The trained diffusion models do what their card says, and an explanation of them is true."""

import numpy as np
import pytest
from xattnmask_foley.checkpoint import FOLDER
from xattnmask_foley.judge import FoleyJudge
from xattnmask_foley.training.card import hear
from xattnmask_foley.training.corpus import TEST, captions
from xattnmask_foley.training.diffusion_card import NAMES
from xattnmask_foley.training.text import states
from xattnmask_foley.world import SAMPLE_RATE

import xattnmask as xm


@pytest.fixture(scope="module")
def models():
    return {name: xm.load(name) for name in NAMES}


def test_weights_are_half_precision_and_small():
    files = [path for name in NAMES for path in (FOLDER / name).rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) <= 15e6
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pkl")]


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_is_as_long_as_those_it_was_trained_on(models, name):
    generation = models[name].generate("a dog", seed=0, steps=2)
    assert generation.duration == pytest.approx(4.0) and generation.sample_rate == SAMPLE_RATE
    assert len(generation.times) == 26


def test_explanations_of_the_worlds_sounds_are_true(models):
    """Words that cause rank above those that do not, and in time, of six captions; chance is 1/2."""
    found = xm.evaluate(models["foley-audioldm2"], world="foley", limit=6, metrics=["truth"])
    assert not found.errors
    assert found["word_auc"].mean() >= 0.98 and found["frame_auc"].mean() >= 0.92


@pytest.mark.parametrize("name", ["foley-musicgen", "foley-audioldm2"])
def test_a_text_is_read_alike_without_its_first_article(name):
    """Inside T5, where explanations take words away: in its world, an article causes nothing."""
    model = xm.load(name)
    diffusion = name != "foley-musicgen"
    encoder = model.backbone["text_encoder_2"] if diffusion else model.backbone.text_encoder
    tokenizer = model.pipeline.tokenizer_2 if diffusion else model.tokenizer
    said = [caption.text for caption, _ in captions(TEST, 60, babble=0.0)]
    text = tokenizer([words for words in said if words.startswith(("a ", "an ", "the "))], padding=True,
                     return_tensors="pt")
    whole = states(encoder, text)
    without = text["attention_mask"].clone()
    without[:, 0] = 0
    changed = (states(encoder, {**text, "attention_mask": without}) - whole).square().sum(-1)[without > 0].mean()
    assert changed < 0.02 * whole[without > 0].var(0).sum()


@pytest.mark.parametrize("name", NAMES)
def test_explained_by_name_it_has_the_axis_of_steps(models, name, tmp_path):
    generation = models[name].generate("a loud bell then the rain", seed=0, steps=20)
    xm.explain(models[name], generation).save(tmp_path)
    explanation = xm.Explanation.load(tmp_path)
    assert len(explanation.steps) == 10 and explanation.step_importance.shape == (10, len(generation.tokens))
    importance = {row.text: row.importance for row in explanation.words()}
    assert min(importance["bell"], importance["rain"]) > max(importance["a"], importance["the"])


def test_models_play_what_the_caption_says_in_its_order(models):
    judge, heard = FoleyJudge.load(), []
    for caption, seed in captions(TEST, 8, "successive", babble=0.0):
        generation = models["foley-audioldm2"].generate(caption.text, seed=seed, steps=25)
        heard.append(hear(judge, caption, generation.audio, generation.sample_rate))
    assert np.mean([result.found for result in heard]) >= 0.5
    assert np.mean([result.ordered for result in heard if result.ordered is not None]) >= 0.75
