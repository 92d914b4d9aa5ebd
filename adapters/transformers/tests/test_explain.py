"""Explaining MusicGen: the core's replays against the library's own forward, and audio made again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from xattnmask_transformers.delay import delay
from xattnmask_transformers.musicgen import MusicGen

from xattnmask import SettingError, explain, patch, regenerate
from xattnmask.replaying import Replayer

PROMPT = "a dog barks then a siren wails"


@pytest.fixture
def sound(musicgen):
    return musicgen.generate(PROMPT, seed=0, duration=0.4)


def positions(generation):
    return int(generation.positions.max()) + 1


@torch.no_grad()
def test_without_history_is_one_sequence_a_position_at_its_own_place(musicgen, sound, monkeypatch):
    """Each column of codes alone, as a sequence of length 1 whose position embedding is that of its place."""
    decoder, ids = musicgen.backbone.decoder.model, torch.tensor([[token.id for token in sound.tokens]])
    text = musicgen.backbone.enc_to_dec_proj(musicgen.backbone.text_encoder(input_ids=ids).last_hidden_state)
    columns = delay(sound.replay["codes"], musicgen.delays, musicgen.start)
    embed, states = decoder.decoder.embed_positions, []
    places = embed.weights
    for position in range(columns.shape[1]):
        row = places[position : position + 1]
        monkeypatch.setattr(embed, "forward", lambda *args, row=row, **kwargs: row)
        one = columns[:, position : position + 1]
        states.append(decoder(input_ids=one, encoder_hidden_states=text, use_cache=False).last_hidden_state[0])
    monkeypatch.undo()
    replayer = Replayer(musicgen, sound, context="none")
    assert torch.allclose(replayer.clean(history=False), torch.cat(states), atol=1e-5)
    ones = torch.ones(1, positions(sound), len(sound.tokens))
    assert torch.allclose(replayer.masked(ones)[0], torch.cat(states), atol=1e-5)


@pytest.mark.parametrize("context", ["frozen", "joint"])
@torch.no_grad()
def test_ones_change_nothing_where_history_is_seen(musicgen, sound, context):
    replayer = Replayer(musicgen, sound, context=context)
    hidden = replayer.masked(torch.ones(2, positions(sound), len(sound.tokens)))
    assert torch.allclose(hidden, replayer.clean().expand_as(hidden), atol=1e-5)


@torch.no_grad()
def test_attention_is_what_the_library_reports(musicgen_folder, musicgen, sound):
    eager = MusicGen.from_checkpoint(str(musicgen_folder))
    eager.backbone.decoder.set_attn_implementation("eager")
    ids = torch.tensor([[token.id for token in sound.tokens]])
    text = eager.backbone.enc_to_dec_proj(eager.backbone.text_encoder(input_ids=ids).last_hidden_state)
    columns = delay(sound.replay["codes"], eager.delays, eager.start)
    output = eager.backbone.decoder.model(
        input_ids=columns, encoder_hidden_states=text, use_cache=False, output_attentions=True)
    theirs = torch.stack(output.cross_attentions)[:, 0].mean((0, 1))
    for model in (musicgen, eager):
        assert torch.allclose(Replayer(model, sound, context="joint").attention(), theirs, atol=1e-5)
    found = explain(musicgen, sound, method="attention").importance
    np.testing.assert_allclose(found, theirs.numpy()[sound.positions].mean(1), atol=1e-5)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_all_ones_make_the_same_audio_bit_for_bit(model, guidance):
    sound = model.generate(PROMPT, seed=2, duration=0.6, guidance=guidance)
    explanation = explain(model, sound, method="attention")
    explanation = replace(explanation, importance=np.ones_like(explanation.importance))
    made = regenerate(model, sound, explanation)
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
    settings = {"learned": {"context": "joint", "steps": 3}, "atman": {"concept": 0.5}}.get(method, {})
    found = explain(model, sound, method=method, **settings)
    assert found.importance.shape == (10, len(sound.tokens)) and np.isfinite(found.importance).all()
    assert found.versions["transformers"]


def test_a_prefix_model_takes_context_joint_alone(melody):
    sound = melody.generate(PROMPT, seed=0, duration=0.4)
    for context in ("none", "frozen"):
        with pytest.raises(SettingError, match="'musicgen-melody' cannot leave out its history: use context='joint'"):
            explain(melody, sound, context=context)
    replayer = Replayer(melody, sound, context="joint")
    with torch.no_grad():
        hidden = replayer.masked(torch.ones(2, positions(sound), len(sound.tokens)))
        assert torch.allclose(hidden, replayer.clean().expand_as(hidden), atol=1e-5)
        assert not torch.allclose(replayer.masked(torch.zeros(1, len(sound.tokens)))[0], replayer.clean(), atol=1e-3)


@pytest.mark.parametrize("context", ["none", "joint"])
def test_depth_encoder_reaches_further(model, context):
    if context == "none" and model.key == "musicgen-melody":
        pytest.skip("its history cannot be cut")
    sound = model.generate(PROMPT, seed=0, duration=0.4)
    mask = torch.ones(1, len(sound.tokens))
    mask[0, 1] = 0
    with torch.no_grad():
        shallow, deep = (Replayer(model, sound, context=context, depth=depth).masked(mask)
                         for depth in ("cross", "encoder"))
    assert not torch.allclose(shallow, deep, atol=1e-4)
    found = explain(model, sound, context=context, depth="encoder", steps=3)
    assert set(regenerate(model, sound, found)) == {"factual", "counterfactual"}


@torch.no_grad()
def test_isolated_positions_are_sequences_of_length_one(musicgen, sound):
    mask = torch.rand(2, sound.positions.max() + 1, len(sound.tokens), generator=torch.Generator().manual_seed(0))
    hidden = Replayer(musicgen, sound, context="isolated").masked(mask)
    assert hidden.shape[:2] == mask.shape[:2]
    ids = torch.tensor([[token.id for token in sound.tokens]])
    columns = delay(sound.replay["codes"], musicgen.delays, musicgen.start)
    for row in range(2):
        for position in (0, 3, mask.shape[1] - 1):
            with patch(musicgen, mask[row : row + 1, position]):
                alone = musicgen.backbone(
                    input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, output_hidden_states=True,
                    decoder_input_ids=columns[:, position : position + 1],
                ).decoder_hidden_states[-1]
            assert torch.allclose(hidden[row, position], alone[0, 0], atol=1e-5)


@pytest.mark.parametrize("parameters", ["mlp", "mlp-history"])
def test_the_papers_explainer_reads_the_models_embeddings(model, parameters):
    sound = model.generate(PROMPT, seed=0, duration=0.4)
    found = explain(model, sound, preset="paper", context="joint", steps=2, parameters=parameters)
    assert found.importance.std() > 0


def test_no_step_leaves_anything_behind(musicgen, sound):
    before = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in musicgen.backbone.modules()]
    hidden = musicgen.replay(sound)
    explain(musicgen, sound, steps=3, context="frozen", depth="encoder")
    assert [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in musicgen.backbone.modules()] == before
    assert torch.equal(musicgen.replay(sound), hidden)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("context", ["none", "frozen", "joint"])
def test_low_precision_models_are_learned_in_float32(musicgen_folder, sound, dtype, context):
    model = MusicGen.from_checkpoint(str(musicgen_folder), dtype=dtype)
    sound = model.generate(PROMPT, seed=0, duration=0.4)
    found = explain(model, sound, context=context, steps=6, tolerance=0.0)
    assert found.importance.dtype == found.attention.dtype == np.float32
    assert found.losses["total"][-1] < found.losses["total"][0]
    whole = MusicGen.from_checkpoint(str(musicgen_folder))
    exact = explain(whole, sound, context=context, steps=6, tolerance=0.0)
    assert found.losses["total"][0] == pytest.approx(exact.losses["total"][0], rel=0.05)
    made = regenerate(model, sound, replace(found, importance=np.ones_like(found.importance)))
    assert np.array_equal(made["factual"], sound.audio)


@torch.no_grad()
@pytest.mark.parametrize("depth", ["cross", "encoder"])
def test_rollout_is_that_of_the_attention_the_library_reports(model, depth):
    """Also where text and audio are one sequence, the text's rows being rolled out with the others."""
    sound = model.generate(PROMPT, seed=0, duration=0.4)
    eager = type(model).from_checkpoint(model.checkpoint)
    eager.backbone.decoder.set_attn_implementation("eager")
    eager.backbone.text_encoder.set_attn_implementation("eager")
    ids = torch.tensor([[token.id for token in sound.tokens]])
    text = eager.backbone.text_encoder(input_ids=ids, output_attentions=True)
    encoded = torch.eye(len(sound.tokens))
    if depth == "encoder":
        for attention in text.attentions:
            encoded = (encoded + attention[0].mean(0) @ encoded) / 2
    seen = []
    handle = eager.backbone.decoder.model.register_forward_pre_hook(
        lambda module, args, kwargs: (args, {**kwargs, "output_attentions": True}), with_kwargs=True)
    keep = eager.backbone.decoder.model.register_forward_hook(lambda module, args, output: seen.append(output))
    eager.replay(sound)
    handle.remove(), keep.remove()
    (output,) = seen
    own = [attention[0].mean(0) for attention in output.attentions]
    if model.key == "musicgen-melody":
        start = model.backbone.config.chroma_length
        rows, columns = own[0].shape[0], slice(start, start + len(sound.tokens))
        flow = torch.zeros(rows, len(sound.tokens))
        flow[columns] = encoded
        for attention in own:
            flow = (flow + attention @ flow) / 2
        flow = flow[columns.stop :]
    else:
        flow = torch.zeros(positions(sound), len(sound.tokens))
        for attention, cross in zip(own, output.cross_attentions, strict=True):
            flow = (flow + attention @ flow) / 2
            flow = (flow + cross[0].mean(0) @ encoded) / 2
    found = explain(model, sound, method="rollout", depth=depth).importance
    np.testing.assert_allclose(found, flow.numpy()[sound.positions].mean(1), atol=1e-6)
