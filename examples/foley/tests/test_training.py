"""The training stages: real steps on small pools, stopped and resumed."""

import copy

import numpy as np
import pytest
import torch
from transformers import T5Config, T5EncoderModel
from xattnmask_foley.training import codec, forgetting, judge, language, loop, text
from xattnmask_foley.training.corpus import TEST, TRAIN, VALIDATION, captions, shares
from xattnmask_foley.training.tokenizer import build as build_tokenizer
from xattnmask_foley.world import SOURCES, parse


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 1)
    monkeypatch.setattr(codec, "POOL", 4)
    monkeypatch.setattr(codec, "BATCH", 2)
    monkeypatch.setattr(codec, "QUANTIZE_FROM", 1)
    monkeypatch.setattr(codec, "AGAIN_FROM", 2)
    monkeypatch.setattr(judge, "POOL", 4)
    monkeypatch.setattr(judge, "BATCH", 2)
    monkeypatch.setattr(text, "STEPS", 1)
    monkeypatch.setattr(text, "BATCH", 2)
    monkeypatch.setattr(forgetting, "STEPS", 1)
    monkeypatch.setattr(forgetting, "MEAN_OF", 1)
    monkeypatch.setattr(language, "POOL", 3)
    monkeypatch.setattr(language, "BATCH", 2)


@pytest.fixture(scope="module")
def untrained_codec():
    torch.manual_seed(0)
    model = codec.EncodecModel(codec.EncodecConfig(**codec.CONFIG)).eval()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_()
    return model


def stages(untrained_codec):
    return {
        "codec": lambda folder, steps: codec.train(folder, steps),
        "decoder": lambda folder, steps: codec.refine(
            folder, copy.deepcopy(untrained_codec), torch.zeros(4, 4, 100, dtype=torch.int16), steps
        ),
        "judge": lambda folder, steps: judge.train(folder, steps),
        "language": lambda folder, steps: language.train(folder, untrained_codec, steps),
    }


@pytest.mark.parametrize("stage", ["codec", "decoder", "judge", "language"])
def test_a_stopped_training_goes_on_where_it_was(stage, untrained_codec, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "schedule", lambda step, steps: 1.0)  # or the two would differ in their learning rates
    train = stages(untrained_codec)[stage]
    through = train(tmp_path / "through", 3).state_dict()
    train(tmp_path / "stopped", 1)
    resumed = train(tmp_path / "stopped", 3).state_dict()
    assert through.keys() == resumed.keys()
    for name, value in through.items():
        assert torch.equal(value, resumed[name]), name


def test_splits_never_share_a_seed():
    seeds = [{seed for _, seed in captions(split, 50)} for split in (TRAIN, VALIDATION, TEST)]
    assert not seeds[0] & seeds[1] and not seeds[0] & seeds[2] and not seeds[1] & seeds[2]


def test_delay_pattern_puts_each_code_where_the_model_card_of_musicgen_says():
    codes = torch.arange(2 * 3 * 4).view(2, 3, 4)
    inputs, targets = language.delayed(codes, pad=99)
    assert inputs.shape == targets.shape == (2, 3, 6)
    for k in range(3):
        for frame in range(4):
            assert (targets[:, k, frame + k] == codes[:, k, frame]).all()
            if frame + k + 1 < 6:
                assert (inputs[:, k, frame + k + 1] == codes[:, k, frame]).all()
    assert (targets == -100).sum() == 2 * 3 * 2


def test_the_model_is_causal_and_the_assertion_can_fail(untrained_codec):
    model = language.build(untrained_codec, build_tokenizer())
    language.assert_causal(model)
    model.decoder.config._attn_implementation = None
    with pytest.raises((AssertionError, KeyError, TypeError)):
        language.assert_causal(model)


def test_quantizer_passes_the_gradient_and_learns_the_clusters(untrained_codec):
    centres = torch.randn(4, 64) * 5
    latent = (centres[torch.randint(4, (600,))] + 0.01 * torch.randn(600, 64)).T[None].requires_grad_()
    quantizer = codec.TrainedQuantizer(untrained_codec)
    quantizer.start(latent.detach())
    first, quantized, commitment = quantizer(latent)
    assert torch.allclose(quantized, latent, atol=0.2) and commitment < 1e-2
    assert (quantized - latent).square().sum() <= (first - latent).square().sum()
    quantized.sum().backward()
    assert torch.equal(latent.grad, torch.ones_like(latent))


def test_spectral_loss_is_nothing_for_the_same_sound_and_has_a_gradient_from_silence():
    sound = torch.sin(torch.arange(4000) * 0.4).view(1, 1, -1)
    assert codec.spectral_loss(sound, sound) < 1e-6
    silence = torch.full_like(sound, 1e-6).requires_grad_()
    codec.spectral_loss(silence, sound).backward()
    assert silence.grad.abs().max() > 1e-3


def test_the_text_encoder_is_asked_for_the_side_of_what_causes_and_for_nouns_themselves():
    tokenizer, said = build_tokenizer(), [parse("We hear a loud dog twice xy after the rain"), parse("the rain")]
    batch = tokenizer([caption.text for caption in said], padding=True, return_tensors="pt")
    pieces = tokenizer.convert_ids_to_tokens(batch.input_ids[0].tolist())
    sides, nouns = (asked[0].tolist() for asked in text.targets(said, batch, tokenizer))
    dog, rain, none = list(SOURCES).index("dog"), list(SOURCES).index("rain"), len(SOURCES)
    wanted = {"▁loud": (1, none), "▁dog": (1, dog), "▁twice": (1, none), "▁rain": (2, rain)}
    found = {p: (side, noun) for p, side, noun in zip(pieces, sides, nouns, strict=True) if side}
    assert found == wanted
    assert {noun for side, noun in zip(sides, nouns, strict=True) if not side} == {len(SOURCES)}
    assert (text.targets(said, batch, tokenizer)[0][1] >= 0).sum() == 3  # the, rain and the end; the rest is padding
    told = text.targets(said, batch, tokenizer, about=True)[1][0].tolist()
    about = {p: noun for p, noun in zip(pieces, told, strict=True) if noun != none}
    assert about == {"▁loud": dog, "▁dog": dog, "▁twice": dog, "▁rain": rain}


def test_modifiers_are_numbered_by_word_and_side():
    tokenizer, said = build_tokenizer(), [parse("a loud dog three times after the loud rain"), parse("a loud rain")]
    batch = tokenizer([caption.text for caption in said], padding=True, return_tensors="pt")
    kinds = forgetting.modifiers(said, batch, tokenizer)
    loud, three, times = tokenizer.convert_tokens_to_ids(["▁loud", "▁three", "▁times"])
    assert kinds[kinds >= 0].tolist() == [2 * loud, 2 * three, 2 * times, 2 * loud + 1, 2 * loud]
    assert (kinds >= 0).int().argmax(1).tolist() == [1, 1]


def test_modifiers_forget_their_noun_and_all_else_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 1000)
    monkeypatch.setattr(loop, "schedule", lambda step, steps: 1.0)
    monkeypatch.setattr(forgetting, "STEPS", 120)
    monkeypatch.setattr(forgetting, "MEAN_OF", 20)
    monkeypatch.setattr(text, "BATCH", 16)
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    encoder = T5EncoderModel(T5Config(**text.config(tokenizer))).eval()
    text.look_around(encoder)
    batch = tokenizer(["a loud dog then the rain", "a loud bell then the rain"], return_tensors="pt")
    before = text.states(encoder, batch).detach()
    forgetting.forget(tmp_path, encoder, tokenizer)
    after = text.states(encoder, batch)

    def apart(states, column):
        return (states[0, column] - states[1, column]).norm()

    loud, noun, rain = 1, 2, 5
    assert apart(before, loud) > 0.5 and apart(after, loud) < 0.5 * apart(before, loud)
    assert apart(after, noun) > 0.8 * apart(before, noun)
    assert (after - before)[:, rain].norm() < 0.3 * before[:, rain].norm()


def test_clips_are_drawn_as_the_mix_has_it():
    mix = codec.MIX
    said = [caption for caption, _ in captions(TRAIN, 400)]
    often = shares(said, mix)
    assert often.shape == (400,) and np.isclose(often.sum(), 1) and np.isclose(sum(mix.values()), 1)
    for arrangement, share in mix.items():
        chosen = [i for i, caption in enumerate(said) if caption.arrangement == arrangement]
        assert np.isclose(often[chosen].sum(), share) and len(set(often[chosen])) == 1


def test_where_an_arrangement_is_missing_the_others_are_drawn_more():
    said = [parse("a dog"), parse("the rain"), parse("a dog then the rain")]
    assert np.allclose(shares(said, {None: 0.2, "forward": 0.2, "together": 0.6}), [0.25, 0.25, 0.5])


def test_language_training_keeps_the_text_encoder_until_it_forgets(untrained_codec, tmp_path):
    """However long the decoder trains: what it has heard all along is what the encoder forgets from."""
    made = torch.randint(512, (3, 4, 100)).short()
    torch.save(made, tmp_path / "codes.pt")
    first, second = (language.train(tmp_path, untrained_codec, steps).text_encoder.state_dict() for steps in (1, 2))
    told = torch.load(tmp_path / "text" / "state.pt", weights_only=True)["model"]
    heard = torch.load(tmp_path / "state.pt", weights_only=True)["model"]
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(heard[f"text_encoder.{name}"], told[f"0.{name}"]) for name in first)
    assert not all(torch.equal(first[name], told[f"0.{name}"]) for name in first)


def test_hearing_again_teaches_the_decoder_alone(untrained_codec, monkeypatch):
    """The encoder's gradient is what it would be without; the decoder's is not."""
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)
    monkeypatch.setattr(codec, "FINE_WINDOWS", codec._WINDOWS)
    slopes = []
    for first in (0, 10):
        monkeypatch.setattr(codec, "AGAIN_FROM", first)
        model = copy.deepcopy(untrained_codec).requires_grad_(True).train()
        torch.manual_seed(0)
        probes = codec.MelProbe(64), codec.SourceProbe(64)
        audio, active = torch.randn(2, 1, codec.CROP) * 0.1, torch.zeros(2, 24, len(SOURCES))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        codec._step(5, model, codec.TrainedQuantizer(model), *probes, optimizer, audio, active)
        slopes.append({name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
    again, without = slopes
    assert all(torch.equal(again[name], without[name]) for name in without if name.startswith("encoder."))
    assert not any(torch.equal(again[name], without[name]) for name in without if name.startswith("decoder."))


def test_tokenizer_keeps_the_worlds_words_whole_and_spells_others():
    tokenizer = build_tokenizer()
    words = [token for token in tokenizer.tokenize("we hear a dog three times")]
    assert words == ["▁we", "▁hear", "▁a", "▁dog", "▁three", "▁times"]
    assert tokenizer.tokenize("xylo") == ["▁", "x", "y", "l", "o"]
    assert np.all(np.array(tokenizer("a dog zebra").input_ids) != tokenizer.unk_token_id)
