"""Explaining the toy from end to end: the result, its doubts, its events, and the audio made from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import xattnmask
from xattnmask import Attribution, Explanation, NumericalError, SettingError, explain, patch, regenerate
from xattnmask.explainer import frame_importance, mask_of, position_mask
from xattnmask.plugins.registry import method as load_method


class Listener:
    def __init__(self, interrupt_at=None):
        self.events, self.interrupt_at = [], interrupt_at

    @xattnmask.hookimpl
    def xattnmask_start(self, run):
        self.events.append(("start", run.method, run.steps, run.prompt, run.model))

    @xattnmask.hookimpl
    def xattnmask_step(self, event):
        self.events.append(("step", event.step))
        if event.step == self.interrupt_at:
            raise KeyboardInterrupt

    @xattnmask.hookimpl
    def xattnmask_end(self, explanation):
        self.events.append(("end", explanation))


@pytest.fixture
def listen():
    """Registers a listener for the length of a test."""
    registered = []

    def register(**settings):
        registered.append(Listener(**settings))
        xattnmask.register(registered[-1])
        return registered[-1]

    yield register
    for listener in registered:
        xattnmask.unregister(listener)


def hooks(model):
    return [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.backbone.modules()]


@pytest.mark.parametrize("method", ["learned", "attention", "leave-one-out"])
def test_every_method_gives_a_whole_explanation(toy_model, sound, method, tmp_path):
    found = explain(toy_model, sound, method=method, seed=3)
    assert found.importance.shape == (10, 5) and found.importance.dtype == np.float32
    assert found.attention.shape == (10, 5)
    np.testing.assert_allclose(found.attention.sum(1), 1, atol=1e-5)
    assert (found.prompt, found.tokens, found.model) == (sound.prompt, sound.tokens, "toy")
    assert (found.checkpoint, found.method) == ("toy-small", method)
    assert (found.seed, found.settings["seed"]) == (1, 3)
    assert found.generation_settings == {"seed": 1, "duration": 0.4, "guidance": 3.0}
    assert {"python", "xattnmask", "torch"} <= set(found.versions)
    assert np.array_equal(found.times, sound.times) and np.array_equal(found.audio["audio"], sound.audio)
    found.save(tmp_path)
    assert Explanation.load(tmp_path) == found


def test_its_own_settings_repeat_it(toy_model, sound):
    for settings in ({"sampling": "soft", "steps": 4}, {"preset": "paper", "steps": 3}):
        first = explain(toy_model, sound, seed=5, **settings)
        again = explain(toy_model, sound, method=first.method, **first.settings)
        assert again == first
        twin = toy_model.generate(first.prompt, **first.generation_settings)
        assert np.array_equal(twin.audio, sound.audio)


def test_events_in_order(toy_model, sound, listen):
    listener = listen()
    found = explain(toy_model, sound, steps=3, context="joint")
    assert listener.events == [
        ("start", "learned", 3, sound.prompt, "toy"), ("step", 0), ("step", 1), ("step", 2), ("end", found)]


def test_ctrl_c_in_a_listener_leaves_the_model_as_it_was(toy_model, sound, listen):
    before, hidden = hooks(toy_model), toy_model.replay(sound)
    listener = listen(interrupt_at=2)
    with pytest.raises(KeyboardInterrupt):
        explain(toy_model, sound)
    assert [event[0] for event in listener.events] == ["start", "step", "step", "step"]
    assert hooks(toy_model) == before and torch.equal(toy_model.replay(sound), hidden)
    listener.interrupt_at = None
    assert explain(toy_model, sound, steps=2).importance.shape == (10, 5)


def test_another_models_generation(toy_model, sound):
    other = replace(sound, model="musicgen")
    for call in (lambda: explain(toy_model, other), lambda: regenerate(toy_model, other, explain(toy_model, sound))):
        with pytest.raises(SettingError, match="made by model 'musicgen', not by 'toy'"):
            call()


def test_a_wrong_setting_comes_before_any_event(toy_model, sound, listen):
    listener = listen()
    with pytest.raises(SettingError, match="did you mean steps"):
        explain(toy_model, sound, step=3)
    assert not listener.events


@pytest.mark.parametrize("method", ["learned", "attention", "leave-one-out"])
def test_nan_in_the_model(toy_model, sound, method):
    with torch.no_grad():
        toy_model.backbone.layers[0].cross.k.weight[0, 0] = float("nan")
    with pytest.raises(NumericalError, match=r"the unmasked replay gave NaN|'attention' gave NaN"):
        explain(toy_model, sound, method=method)


# the doubts, from real curves

def test_too_few_steps_are_mentioned(toy_model, sound):
    assert explain(toy_model, sound, steps=2, start=0.0).diagnostics[-1] == (
        "The optimisation had not settled after 2 steps: try more steps.")
    assert not any("settled" in doubt for doubt in explain(toy_model, sound, steps=100).diagnostics)


@pytest.mark.parametrize("context", ["none", "joint"])
def test_a_model_that_ignores_the_text_is_found_out(toy_model, sound, context):
    with torch.no_grad():
        for layer in toy_model.backbone.layers:
            layer.cross.o.weight.zero_()
    found = explain(toy_model, sound, context=context, target="same", steps=60)
    assert any("may be ignoring the text" in doubt for doubt in found.diagnostics)
    assert any("nearly uniform" in doubt for doubt in found.diagnostics)


def test_a_model_that_listens_is_not_doubted(toy_model, sound):
    with torch.no_grad():  # louder text, so that taking words away matters
        for layer in toy_model.backbone.layers:
            layer.cross.q.weight.mul_(6)
    found = explain(toy_model, sound, context="joint", steps=100)
    assert not any("ignoring" in doubt or "uniform" in doubt for doubt in found.diagnostics)


# between frames and positions

def delayed(sound, frames=6, books=4):
    """As MusicGen: codebook k of frame f is emitted at position f + k."""
    return replace(sound, positions=np.add.outer(np.arange(frames), np.arange(books)))


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_a_constant_mask_survives_the_round_trip(sound, value):
    sound = delayed(sound)
    frames = frame_importance(Attribution(np.full((9, 5), value, np.float32)), sound)
    assert frames.shape == (6, 5) and np.all(frames == np.float32(value))
    mask = position_mask(frames, sound)
    assert mask.shape == (9, 5) and mask.dtype == np.float32 and np.all(mask == np.float32(value))


def test_frames_are_means_over_the_positions_that_emit_them(sound):
    importance = np.arange(9, dtype=np.float32)[:, None] * np.ones(5, np.float32)
    assert frame_importance(Attribution(importance), delayed(sound))[:, 0].tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]


def test_positions_are_means_over_the_frames_they_emit(sound):
    frames = np.zeros((6, 5), np.float32)
    frames[2] = 1
    assert position_mask(frames, delayed(sound))[:, 0] == pytest.approx([0, 0, 1 / 3, 1 / 4, 1 / 4, 1 / 4, 0, 0, 0])


def test_a_position_that_emits_nothing_follows_its_neighbour(sound):
    sound = replace(sound, positions=np.array([[2], [3], [6]]))
    mask = position_mask(np.array([[0.1], [0.2], [0.9]], np.float32), sound)
    assert mask[:, 0] == pytest.approx([0.1, 0.1, 0.1, 0.2, 0.2, 0.9, 0.9])


def test_importance_beyond_a_masks_range_is_stretched(sound):
    sound = replace(sound, positions=np.arange(3)[:, None])
    assert position_mask(np.array([[-1.0], [0.0], [3.0]]), sound)[:, 0].tolist() == [0, 0.25, 1]
    assert position_mask(np.full((3, 1), 7.0), sound)[:, 0].tolist() == [1, 1, 1]
    assert position_mask(np.full((3, 1), -7.0), sound)[:, 0].tolist() == [1, 1, 1]
    inside = np.array([[0.2], [0.0], [0.3]], np.float32)
    assert np.array_equal(position_mask(inside, sound), inside)


@pytest.mark.parametrize("importance", [[3.0, -1.0, 7.0, 7.0], [0.2, 0.1, 0.9, 0.9], [2e-9, 1e-9, 3e-9, 3e-9]])
def test_a_ranked_mask_is_the_share_of_cells_below(toy_model, importance):
    sound = toy_model.generate("a", duration=0.08)
    frames, tokens = len(sound.positions), len(sound.tokens)
    cells = np.resize(np.array(importance, np.float32), (frames, tokens))
    explanation = replace(explain(toy_model, sound, method="random"), importance=cells)
    below = np.array([((cells < cell).sum() + (cells == cell).sum() / 2) / cells.size for cell in cells.flat])
    expected = position_mask(below.reshape(cells.shape).astype(np.float32), sound)
    np.testing.assert_allclose(mask_of(toy_model, sound, explanation, "ranked"), expected, atol=1e-6)


def test_one_value_ranks_nothing_and_other_kinds_of_mask_do_not_exist(toy_model, sound):
    explanation = with_importance(explain(toy_model, sound, method="random"), 0.3)
    assert (mask_of(toy_model, sound, explanation, "ranked") == 1).all()
    with pytest.raises(SettingError, match="mask must be one of own, stretched, ranked, not 'sharp'"):
        regenerate(toy_model, sound, explanation, mask="sharp")


# audio made again

def with_importance(explanation, value):
    return replace(explanation, importance=np.full_like(explanation.importance, value))


def test_all_ones_give_the_same_audio_and_all_zeros_another(toy_model, sound):
    explanation = explain(toy_model, sound, steps=1)
    made = regenerate(toy_model, sound, with_importance(explanation, 1.0))
    assert set(made) == {"factual", "counterfactual"}
    np.testing.assert_allclose(made["factual"], sound.audio, atol=1e-5)
    assert np.abs(made["counterfactual"] - sound.audio).max() > 0.01
    swapped = regenerate(toy_model, sound, with_importance(explanation, 0.0))
    assert np.array_equal(swapped["counterfactual"], made["factual"])


@pytest.mark.parametrize("settings", [{"rule": "bias"}, {"layers": "last"}, {"layers": [0]}, {"heads": [0]}, {}])
def test_audio_is_made_under_the_mask_as_it_was_learned(toy_model, sound, settings):
    explanation = explain(toy_model, sound, steps=5, **settings)
    made = regenerate(toy_model, sound, explanation)
    with patch(toy_model, explanation.importance[None], **settings):
        assert np.array_equal(toy_model.regenerate(sound).audio, made["factual"])


def test_the_layers_of_mean_attention_are_not_those_of_a_mask(toy_model, sound):
    explanation = explain(toy_model, sound, method="attention", layers=[1])
    made = regenerate(toy_model, sound, explanation)
    with patch(toy_model, explanation.importance[None]):
        assert np.array_equal(toy_model.regenerate(sound).audio, made["factual"])


def test_only_the_whole_generation_can_be_made_again(toy_model, sound):
    explanation = explain(toy_model, sound, steps=1)
    with pytest.raises(SettingError, match="from the explanation of the whole generation"):
        regenerate(toy_model, sound, explanation.interval(0.1, 0.2))
    other = toy_model.generate("a cat barks loudly", seed=1, duration=0.4)
    with pytest.raises(SettingError, match=r"'a dog barks loudly'.*'a cat barks loudly'"):
        regenerate(toy_model, other, explanation)


def test_methods_are_found_by_their_entry_points():
    for name in ("learned", "attention", "leave-one-out"):
        assert load_method(name).name == name
