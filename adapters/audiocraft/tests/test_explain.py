"""Explaining: the core's replays against audiocraft's own forward, and audio made again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from xattnmask import PatchError, explain, patch, regenerate
from xattnmask.replaying import Replayer

from .conftest import PROMPT


@torch.no_grad()
def test_without_history_is_one_sequence_a_position_at_its_own_place(audiogen, sound):
    """Each column of codes alone, as a stream of length 1 that starts at its place."""
    columns, text = audiogen._columns(sound), audiogen.conditions.encode(PROMPT)
    states, transformer = [], audiogen.backbone.transformer
    for position in range(columns.shape[-1]):
        with audiogen.backbone.streaming():
            transformer._streaming_state["offsets"] = torch.tensor([position])
            states.append(audiogen._decode(columns[..., position : position + 1], text)[0])
    replayer = Replayer(audiogen, sound, context="none")
    ones = torch.ones(1, columns.shape[-1], len(sound.tokens))
    for ours in (replayer.clean(history=False), replayer.masked(ones)[0]):
        assert torch.allclose(ours, torch.cat(states), atol=1e-5)


@torch.no_grad()
def test_isolated_positions_are_sequences_of_length_one(model):
    """The authors' procedure, to the letter: each column a forward of audiocraft's own, with its row of the mask."""
    sound = model.generate(PROMPT, seed=0, duration=0.4)
    steps = int(sound.positions.max()) + 1
    mask = torch.rand(2, steps, len(sound.tokens), generator=torch.Generator().manual_seed(0))
    hidden = Replayer(model, sound, context="isolated").masked(mask)
    assert hidden.shape[:2] == mask.shape[:2]
    columns, heads = model._columns(sound), torch.stack([head.weight for head in model.backbone.linears])
    for row in range(2):
        for position in (0, 3, steps - 1):
            with patch(model, mask[row : row + 1, position]):
                alone = model.backbone(columns[..., position : position + 1], [model.conditions.attributes(PROMPT)])
            assert torch.allclose(heads @ hidden[row, position], alone[0, :, 0], atol=1e-4)


@torch.no_grad()
def test_attention_is_what_an_explicit_softmax_gives(models, sound):
    """The same weights with audiocraft's sdpa, and with its explicit softmax, whose probabilities can be seen."""
    sdpa, einsum = models["audiogen"], models["einsum"]
    einsum.backbone.load_state_dict(sdpa.backbone.state_dict())
    seen, layers = [], einsum.backbone.transformer.layers
    hooks = [layer.cross_attention.register_forward_hook(
        lambda module, args, output: seen.append(_probabilities(module, *args))) for layer in layers]
    try:
        einsum.replay(sound)
    finally:
        for hook in hooks:
            hook.remove()
    theirs = torch.stack(seen).mean((0, 2))[0]
    for model in (sdpa, einsum):
        assert torch.allclose(Replayer(model, sound, context="joint").attention(), theirs, atol=1e-5)


def _probabilities(module, query, key, value):
    """By hand from the projections, [batch, heads, positions, tokens]."""
    width = query.shape[-1]
    q, k = (torch.nn.functional.linear(x, module.in_proj_weight[i * width : (i + 1) * width]).unflatten(
        -1, (module.num_heads, -1)).transpose(1, 2) for i, x in enumerate((query, key)))
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)


@pytest.mark.parametrize("settings", [{}, {"guidance": 1.0}, {"two_step_cfg": True}])
def test_all_ones_make_the_same_audio_bit_for_bit(model, settings):
    sound = model.generate(PROMPT, seed=2, duration=0.6, **settings)
    explanation = explain(model, sound, method="attention")
    made = regenerate(model, sound, replace(explanation, importance=np.ones_like(explanation.importance)))
    assert np.array_equal(made["factual"], sound.audio)
    assert not np.array_equal(made["counterfactual"], sound.audio)


@pytest.mark.parametrize("method", [
    "learned", "random", "attention", "rollout", "attention-gradient", "grad-cam", "leave-one-out", "atman",
    "integrated-gradients", "shapley",
])
def test_every_method_on_every_kind_of_model(model, method):
    if method in ("integrated-gradients", "shapley"):
        pytest.importorskip("captum")
    sound = model.generate(PROMPT, seed=0, duration=0.4)
    steps = {"steps": 3} if method in ("learned", "integrated-gradients") else {}
    by_gradient = method in ("learned", "attention-gradient", "grad-cam", "integrated-gradients")
    settings = {"context": "none", **steps} if by_gradient else {}  # an explicit softmax hides the history
    found = explain(model, sound, method=method, **settings)
    assert found.importance.shape == (10, len(sound.tokens)) and np.isfinite(found.importance).all()
    assert found.versions["audiocraft"] == "1.3.0"


@pytest.mark.parametrize("context", ["none", "frozen", "joint"])
def test_depth_encoder_reaches_further(audiogen, sound, context):
    mask = torch.ones(1, len(sound.tokens))
    mask[0, 1] = 0
    with torch.no_grad():
        shallow, deep = (Replayer(audiogen, sound, context=context, depth=depth).masked(mask)
                         for depth in ("cross", "encoder"))
    assert not torch.allclose(shallow, deep, atol=1e-4)
    found = explain(audiogen, sound, context=context, depth="encoder", steps=3)
    assert set(regenerate(audiogen, sound, found)) == {"factual", "counterfactual"}


def test_an_explicit_softmax_hides_the_history(models):
    sound = models["einsum"].generate(PROMPT, seed=0, duration=0.4)
    with pytest.raises(PatchError, match="explicit softmax"):
        explain(models["einsum"], sound, context="frozen", steps=1)


@pytest.mark.parametrize("parameters", ["mlp", "mlp-history"])
def test_the_authors_procedure(audiogen, sound, parameters):
    found = explain(audiogen, sound, preset="paper", steps=2, parameters=parameters)
    assert found.settings["context"] == "isolated" and not found.settings["batched"]
    assert found.importance.std() > 0


def test_no_step_leaves_anything_behind(audiogen, sound):
    parts = [*audiogen.backbone.modules(), *audiogen.conditions.conditioner.t5.modules()]
    before = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in parts]
    hidden = audiogen.replay(sound)
    explain(audiogen, sound, steps=3, depth="encoder")
    explain(audiogen, sound, steps=1, preset="paper")
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in parts] == before
    assert torch.equal(audiogen.replay(sound), hidden)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("context", ["none", "frozen", "joint"])
def test_low_precision_models_are_learned_in_float32(folders, audiogen, dtype, context):
    from xattnmask_audiocraft.audiogen import AudioGen

    model = AudioGen.from_checkpoint(str(folders["audiogen"]), dtype=dtype)
    sound = model.generate(PROMPT, seed=0, duration=0.4)
    found = explain(model, sound, context=context, steps=6, tolerance=0.0)
    assert found.importance.dtype == found.attention.dtype == np.float32
    assert found.losses["total"][-1] < found.losses["total"][0]
    exact = explain(audiogen, sound, context=context, steps=6, tolerance=0.0)
    assert found.losses["total"][0] == pytest.approx(exact.losses["total"][0], rel=0.05)
    made = regenerate(model, sound, replace(found, importance=np.ones_like(found.importance)))
    assert np.array_equal(made["factual"], sound.audio)
