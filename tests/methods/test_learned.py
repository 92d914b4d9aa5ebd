"""The learned mask on the toy: what it optimises, when it stops, and what it leaves alone."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from xattnmask import NumericalError, SettingError, patch
from xattnmask.methods.atman import AtMan
from xattnmask.methods.learned import LearnedMask
from xattnmask.methods.leave_one_out import LeaveOneOut
from xattnmask.patching import no_history
from xattnmask.replaying import Replayer

POSITIONS, TOKENS = 10, 5


def attribute(model, sound, seed=0, on_step=lambda event: None, **settings):
    """From one value unless told otherwise: what is tested is the optimisation, not what it may start from."""
    settings = settings if settings.get("preset") == "paper" else {"start": 0.0, "steps": 10, **settings}
    return LearnedMask().attribute(model, sound, seed=seed, on_step=on_step, **settings)


@pytest.fixture
def replays(toy_model, monkeypatch):
    """Batch sizes of all replays."""
    counted = []

    def counting(replay):
        def count(self, generation, batch=1):
            counted.append(batch)
            return replay(self, generation, batch)

        return count

    for name in ("replay", "replay_isolated"):
        monkeypatch.setattr(type(toy_model), name, counting(getattr(type(toy_model), name)))
    return counted


@torch.no_grad()
def losses_of(model, sound, importance):
    """Factual and counterfactual loss of a finished mask without history, by the public patch alone."""
    target, found = model.replay(sound)[0], []
    for mask in (importance, 1 - importance):
        with patch(model, mask[None]), no_history(model, TOKENS):
            found.append(cosine_similarity(model.replay(sound)[0], target, dim=-1).mean().item())
    return 1 - found[0], found[1]


def test_the_mask_found_is_better_than_the_one_it_started_from_and_than_its_opposite(toy_model, sound):
    found = attribute(toy_model, sound, steps=60)
    assert found.importance.shape == (POSITIONS, TOKENS) and found.importance.dtype == np.float32
    assert found.importance.min() >= 0 and found.importance.max() <= 1
    factual, counterfactual = losses_of(toy_model, sound, found.importance)
    start = losses_of(toy_model, sound, np.full_like(found.importance, 0.5))
    opposite = losses_of(toy_model, sound, 1 - found.importance)
    assert factual + counterfactual < sum(start) - 0.1
    assert factual + counterfactual < sum(opposite) - 0.1
    assert (factual, counterfactual) == pytest.approx(
        (found.losses["factual"][-1], found.losses["counterfactual"][-1]), abs=0.05)


def test_the_first_step_is_the_loss_of_the_mask_it_starts_from(toy_model, sound):
    found = attribute(toy_model, sound, steps=1, start=0.3, context="none")
    share = 1 / (1 + np.exp(-0.3))
    factual, counterfactual = losses_of(toy_model, sound, np.full((POSITIONS, TOKENS), share, np.float32))
    assert found.losses["factual"] == pytest.approx([factual], abs=1e-5)
    assert found.losses["counterfactual"] == pytest.approx([counterfactual], abs=1e-5)
    penalty = 1e-3 * share * 50 + 0.1 * share * 50**0.5
    assert found.losses["total"] == pytest.approx([10 * (factual + counterfactual) + penalty], abs=1e-4)
    assert found.losses["size"] == pytest.approx([share])
    assert found.converged is False


def test_a_planted_word_is_found(toy_model, sound):
    """The other words' embeddings are made null, so that one alone says anything."""
    ids = [token.id for token in sound.tokens]
    with torch.no_grad():
        toy_model.backbone.words.weight[[i for i in ids if i != ids[1]]] = 0
        toy_model.backbone.words.weight[ids[1]] *= 4
    importance = attribute(toy_model, sound, context="none", target="same", steps=40).importance.mean(0)
    assert importance.argmax() == 1


@pytest.mark.parametrize("settings", [
    {"context": "frozen"}, {"context": "joint"}, {"objective": "factual"}, {"objective": "counterfactual"},
    {"sampling": "soft"}, {"sampling": "hard"}, {"rule": "bias"}, {"parameters": "mlp", "lr": 0.01},
    {"parameters": "mlp-history", "lr": 0.01}, {"target": "same"}, {"batched": False}, {"layers": "last"},
    {"heads": [0]}, {"temperature": 2.0, "temperature_end": 0.1},
])
def test_every_choice_lowers_its_loss(toy_model, sound, settings):
    found = attribute(toy_model, sound, steps=15, tolerance=0.0, **settings)
    total = found.losses["total"]
    assert np.isfinite(found.importance).all() and len(total) == 15
    assert min(total[-5:]) < total[0]
    assert {**found.settings, **settings} == found.settings
    expected = {"total", "size"} | {"both": {"factual", "counterfactual"}}.get(
        objective := found.settings["objective"], {objective})
    assert set(found.losses) == expected


def test_one_forward_or_two_make_no_difference(toy_model, sound):
    one, two = (attribute(toy_model, sound, steps=8, batched=batched) for batched in (True, False))
    np.testing.assert_allclose(one.importance, two.importance, atol=1e-4)


def test_without_noise_the_importance_is_the_mask_that_was_optimised(toy_model, sound):
    """At temperature .1 the mask after a single step of lr .5 is nearly hard: sigmoid(±.5 / .1)."""
    found = attribute(toy_model, sound, steps=1, lr=0.5, temperature=0.1)
    np.testing.assert_allclose(np.minimum(found.importance, 1 - found.importance), 1 / (1 + np.exp(5)), rtol=1e-3)


@pytest.mark.parametrize("parameters", ["logits", "mlp", "mlp-history"])
def test_seeds(toy_model, sound, parameters):
    settings = {"sampling": "soft", "steps": 2, "parameters": parameters}
    before = torch.get_rng_state()
    first, again, other = (attribute(toy_model, sound, seed=seed, **settings) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(first.importance, again.importance) and first.losses == again.losses
    assert not np.array_equal(first.importance, other.importance)


def test_it_stops_when_nothing_is_gained_any_more(toy_model, sound):
    steps = []
    found = attribute(toy_model, sound, steps=3000, lr=0.5, on_step=steps.append)
    total = found.losses["total"]
    assert 20 < len(total) == len(steps) < 3000 and found.converged is True
    assert min(total[:-5]) - min(total[-5:]) < 1e-4 * POSITIONS
    assert total[0] - total[-1] > 0.1
    assert [event.step for event in steps] == list(range(len(total))) and steps[0].steps == 3000
    assert steps[3].values["total"] == total[3]


@pytest.mark.parametrize(("given", "lr"), [
    ({}, 1.0), ({"parameters": "mlp"}, 0.01), ({"parameters": "mlp-history"}, 0.01), ({"preset": "paper"}, 1e-3),
    ({"parameters": "mlp", "lr": 0.2}, 0.2),
])
def test_networks_learn_more_slowly(toy_model, sound, given, lr):
    assert attribute(toy_model, sound, steps=1, **given).settings["lr"] == lr


def test_patience_and_tolerance(toy_model, sound):
    assert len(attribute(toy_model, sound, steps=30, tolerance=1e3, patience=3).losses["total"]) == 4
    assert len(attribute(toy_model, sound, steps=30, tolerance=0.0, lr=1e-9).losses["total"]) == 30


@pytest.mark.parametrize(("settings", "converged"), [
    ({"steps": 2}, False), ({"steps": 10, "lr": 0.05}, False), ({"lr": 0.001, "steps": 20, "tolerance": 0.0}, False),
    ({}, True), ({"steps": 200, "tolerance": 0.0}, True), ({"steps": 150, "sampling": "soft", "tolerance": 0.0}, True),
])
def test_converged(toy_model, sound, settings, converged):
    assert attribute(toy_model, sound, **settings).converged is converged


def test_the_preset_is_the_authors_procedure(toy_model, sound, replays):
    found = attribute(toy_model, sound, preset="paper")
    assert {name: found.settings[name] for name in (
        "preset", "steps", "lr", "weight_decay", "context", "target", "alpha", "beta", "parameters", "sampling",
        "temperature", "temperature_end", "rule", "layers", "objective", "depth",
    )} == {
        "preset": "paper", "steps": 50, "lr": 1e-3, "weight_decay": 1e-3, "context": "isolated", "target": "history",
        "alpha": 1e-3, "beta": 0.1, "parameters": "mlp", "sampling": "soft", "temperature": 1.0,
        "temperature_end": None, "rule": "scale", "layers": "all", "objective": "both", "depth": "cross",
    }
    assert len(found.losses["total"]) == 50
    assert replays == [1] + [1, 1] * 50  # the target, then two forwards an epoch


def test_the_default_is_one_forward_a_step(toy_model, sound, replays):
    attribute(toy_model, sound, steps=7)
    assert replays == [1, 1] + [2] * 7  # the recorded history and the target first


def test_what_is_said_overrides_the_preset(toy_model, sound):
    found = attribute(toy_model, sound, preset="paper", steps=3, parameters="logits")
    assert (found.settings["steps"], found.settings["parameters"], found.settings["lr"]) == (3, "logits", 1e-3)
    assert LearnedMask().steps(preset="paper") == 50 and LearnedMask().steps(preset="paper", steps=3) == 3
    with pytest.raises(SettingError, match="did you mean steps"):
        LearnedMask().steps(preset="paper", stepz=3)


def test_a_model_that_breaks_under_a_mask_names_the_step(toy_model, sound, monkeypatch):
    masked, calls = Replayer.masked, []

    def broken(self, masks, **part):
        calls.append(masks)
        return masked(self, masks, **part) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr(Replayer, "masked", broken)
    with pytest.raises(NumericalError, match="loss is not finite at step 2"):
        attribute(toy_model, sound, steps=9)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_gradient_that_is_not_finite_names_the_step(toy_model, sound, steps):
    masked = Replayer.masked

    def broken(self, masks, **part):
        hidden = masked(self, masks, **part)
        hidden.register_hook(lambda gradient: gradient * float("inf"))
        return hidden

    with pytest.MonkeyPatch.context() as context:
        context.setattr(Replayer, "masked", broken)
        with pytest.raises(NumericalError, match=r"mask is not finite at step [01]:"):
            attribute(toy_model, sound, steps=steps)


def state(model):
    modules = list(model.backbone.modules())
    return [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), m.training) for m in modules]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit, ValueError])
@pytest.mark.parametrize("context", ["none", "frozen", "joint"])
def test_the_model_is_restored_when_a_step_is_interrupted(toy_model, sound, fault, context):
    def stop(event):
        if event.step == 2:
            raise fault

    before, hidden = state(toy_model), toy_model.replay(sound)
    weights = {name: value.clone() for name, value in toy_model.backbone.state_dict().items()}
    with pytest.raises(fault):
        attribute(toy_model, sound, on_step=stop, context=context)
    assert state(toy_model) == before
    assert torch.equal(toy_model.replay(sound), hidden)
    assert all(torch.equal(value, weights[name]) for name, value in toy_model.backbone.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in toy_model.backbone.parameters())


def test_no_gradient_is_left_on_the_weights(toy_model, sound):
    attribute(toy_model, sound, steps=2)
    assert all(weight.requires_grad and weight.grad is None for weight in toy_model.backbone.parameters())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_learns_whatever_the_callers_grad_mode(toy_model, sound, mode):
    expected = attribute(toy_model, sound, steps=3).importance
    with mode():
        assert np.array_equal(attribute(toy_model, sound, steps=3).importance, expected)


def test_nothing_grows(toy_model, sound):
    """Thirty explanations leave no hook, no tensor and no object behind."""
    def tensors():
        gc.collect()
        found = gc.get_objects()
        return sum(issubclass(type(thing), torch.Tensor) for thing in found), len(found)

    for context in ("none", "frozen", "joint"):
        attribute(toy_model, sound, steps=2, context=context)
    hooks, (count, objects) = state(toy_model), tensors()
    for index in range(30):
        attribute(toy_model, sound, steps=2, context=("none", "frozen", "joint")[index % 3])
    after, objects_after = tensors()
    assert state(toy_model) == hooks and after <= count  # other tests' may be gone by now
    assert objects_after - objects < 100


def test_bfloat16(toy_model, sound):
    toy_model.backbone.bfloat16()
    sound.replay["noise"] = sound.replay["noise"].bfloat16()
    found = attribute(toy_model, sound, steps=5)
    assert found.importance.dtype == np.float32 and np.isfinite(found.losses["total"]).all()
    assert found.losses["total"][-1] < found.losses["total"][0]


@pytest.mark.parametrize("method", [LeaveOneOut, AtMan])
def test_a_start_from_what_words_do_ranks_as_it_does(toy_model, sound, method):
    """Three thousandths of the largest effect stand at 1/2, and the logit is 3/2 of the logarithm."""
    alone = method().attribute(toy_model, sound, seed=0, on_step=lambda event: None).importance
    found = attribute(toy_model, sound, start=method.name, steps=1, lr=1e-9).importance
    expected = 1 / (1 + (0.003 * alone.max() / np.maximum(alone, 1e-7)) ** 1.5)
    np.testing.assert_allclose(found, expected, atol=1e-4)
