"""A target for the size of the learned mask, and alpha on its way there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from xattnmask import SettingError, patch
from xattnmask.methods.learned import LearnedMask
from xattnmask.methods.learned_settings import LearnedSettings
from xattnmask.methods.leave_one_out import LeaveOneOut
from xattnmask.methods.target_size import AdaptiveAlpha
from xattnmask.objective import batch_masks, penalty, terms
from xattnmask.replaying import Replayer

from ..toy_diffusion import ToyDiffusion

COLD = {"start": 0.0, "steps": 300, "lr": 0.3}
WARM = {"start": "leave-one-out", "steps": 100, "lr": 0.3}


def attribute(model, sound, **settings):
    return LearnedMask().attribute(model, sound, seed=0, on_step=lambda event: None, **settings)


@pytest.fixture
def denoised(toy_model):
    """A toy diffusion model and four steps of its sound."""
    model = ToyDiffusion()
    return model, model.generate("a dog barks loudly", seed=1, duration=0.4, steps=4)


def recursion(sizes, target, unit):
    """What the page on the method says alpha is at each step."""
    off = np.clip(np.log(np.array(sizes) / target), -2, 2)
    grown = np.diff(off, prepend=off[0])
    return [0, *(unit * (0.2 * off.cumsum() + 4 * off + 15 * grown))[:-1]]


@pytest.mark.parametrize("start", [COLD, WARM], ids=["from 1/2", "from leave-one-out"])
@pytest.mark.parametrize("target", [0.1, 0.3, 0.7])
def test_the_mask_goes_to_its_target(toy_model, sound, start, target):
    found = attribute(toy_model, sound, target_size=target, **start)
    assert found.importance.mean() == pytest.approx(target, rel=0.1)


def test_by_itself_the_mask_is_elsewhere(toy_model, sound):
    """Or the test above would hold of any mask: of one of the targets at least it does not."""
    assert attribute(toy_model, sound, **COLD).importance.mean() > 0.5


@pytest.mark.parametrize("settings", [
    {"objective": "factual"}, {"sampling": "soft"}, {"parameters": "mlp", "lr": 0.01}, {"rule": "bias"},
    {"context": "joint"}, {"batched": False}, {"similarity": "error"},
])
def test_whatever_else_is_chosen(toy_model, sound, settings):
    found = attribute(toy_model, sound, target_size=0.3, **{**COLD, **settings})
    assert found.importance.mean() == pytest.approx(0.3, rel=0.15)


@pytest.mark.parametrize("target", [0.05, 0.9])
def test_alpha_rises_while_the_mask_is_too_large_and_falls_while_it_is_too_small(toy_model, sound, target):
    events = []
    found = LearnedMask().attribute(toy_model, sound, seed=0, on_step=events.append, start=0.0, steps=12,
                                    target_size=target, context="joint")
    alphas, sizes = found.losses["alpha"], found.losses["size"]
    assert [event.values["alpha"] for event in events] == alphas and alphas[0] == 0
    assert (alphas[1] > alphas[0]) == (sizes[0] > target)
    with torch.no_grad(), patch(toy_model, np.zeros((1, 5), np.float32)):
        empty = toy_model.replay(sound)[0]
    lost = (1 - cosine_similarity(empty, toy_model.replay(sound)[0], dim=-1)).mean().item()
    assert alphas == pytest.approx(recursion(sizes, target, lost / 5), rel=1e-4)


def test_the_automatic_target_is_the_share_of_cells_that_do_a_hundredth_of_the_largest(toy_model, sound):
    ids = [token.id for token in sound.tokens]
    with torch.no_grad():  # or every word would do a hundredth everywhere
        toy_model.backbone.words.weight[ids[2:]] *= 0.02
        for layer in toy_model.backbone.layers:
            layer.cross.v.bias.zero_()
    alone = LeaveOneOut().attribute(toy_model, sound, seed=0, on_step=lambda event: None).importance
    found = attribute(toy_model, sound, start=0.0, steps=1, target_size="auto")
    assert found.settings["target_size"] == pytest.approx((alone >= 0.01 * alone.max()).mean())
    assert 0.1 < found.settings["target_size"] < 0.9


def test_where_every_word_does_something_the_automatic_target_is_nearly_all(toy_model, sound):
    assert attribute(toy_model, sound, start=0.0, steps=1, target_size="auto").settings["target_size"] == 1 - 1 / 50


def test_without_a_target_alpha_is_the_constant_it_was(toy_model, sound):
    """The same steps by hand, bit for bit."""
    replayer = Replayer(toy_model, sound, context="frozen")
    target, logits = replayer.clean(), torch.zeros(10, 5, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=1.0)
    for _ in range(4):
        optimizer.zero_grad()
        mask, likely = torch.sigmoid(logits[:] / 1.0), torch.sigmoid(logits / 1.0)
        loss = terms(replayer.masked(batch_masks(mask, "both")), target, "both").total
        (loss + penalty(likely, alpha=1e-3, beta=0.1)).backward()
        optimizer.step()
    found = attribute(toy_model, sound, start=0.0, steps=4)
    assert np.array_equal(found.importance, torch.sigmoid(logits.detach() / 1.0).numpy())
    assert "alpha" not in found.losses and found.settings["target_size"] is None


def test_it_does_not_stop_before_it_is_there_and_then_it_stops(toy_model, sound):
    found = attribute(toy_model, sound, start=0.0, steps=3000, lr=0.3, target_size=0.15)
    assert len(found.losses["size"]) < 3000 and found.converged is True
    assert all(abs(size / 0.15 - 1) <= 0.05 for size in found.losses["size"][-5:])
    short = attribute(toy_model, sound, start=0.0, steps=6, lr=0.01, target_size=0.15, tolerance=1e3)
    assert len(short.losses["size"]) == 6 and short.converged is False


@pytest.mark.parametrize("start", [COLD, WARM], ids=["from 1/2", "from leave-one-out"])
@pytest.mark.parametrize("per_step", [True, False])
def test_diffusion_models_in_parts(denoised, start, per_step):
    """Two rows to a forward, so that a mask goes through in four; or all at once."""
    model, sound = denoised
    parts, whole = (attribute(model, sound, target_size=0.3, per_step=per_step, bins=5, rows=rows, **start)
                    for rows in (2, 32))
    assert whole.importance.mean() == pytest.approx(0.3, rel=0.1)
    np.testing.assert_allclose(parts.losses["alpha"], whole.losses["alpha"], rtol=0.02)
    np.testing.assert_allclose(parts.importance.mean(), whole.importance.mean(), rtol=0.02)


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, -0.1, 1.5, float("nan"), float("inf"), True, "small", [0.1]])
def test_what_is_no_size(value):
    with pytest.raises(SettingError, match=r"target_size must be a number above 0 and below 1, or auto, not"):
        LearnedSettings(target_size=value)


@pytest.mark.parametrize(("given", "told"), [
    ({"preset": "paper"}, "preset 'paper' fixes"), ({"alpha": 0.1}, "is given"),
])
def test_an_alpha_that_is_fixed_cannot_be_adapted(given, told):
    with pytest.raises(SettingError, match=f"target_size adapts alpha, which {told}: leave one of them out"):
        LearnedMask().steps(target_size=0.2, **given)
    assert LearnedMask().steps(target_size=None, **given)


def test_a_size_far_off_is_answered_as_one_by_e_squared():
    near, far = AdaptiveAlpha(1e-3, 1.0), AdaptiveAlpha(1e-3, 1.0)
    near.update(1e-3 * np.exp(2))
    far.update(0.9)
    assert near.alpha == far.alpha == pytest.approx(0.2 * 2 + 4 * 2)
