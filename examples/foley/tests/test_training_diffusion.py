"""The diffusion models' training stages: what they learn from, and real steps on small pools."""

import copy

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from transformers import T5Config, T5EncoderModel
from transformers.audio_utils import spectrogram
from xattnmask_foley.training import autoencoder, clap, conditions, denoiser, diffusion, loop, omission, text, vocoder
from xattnmask_foley.training.corpus import TRAIN, captions
from xattnmask_foley.training.meaning import FACTS, meaning
from xattnmask_foley.training.spectrogram import BANDS, FLOOR, FRAMES, HOP, WINDOW, filters, log_mel
from xattnmask_foley.training.tokenizer import build as build_t5
from xattnmask_foley.training.tokenizer import build_roberta
from xattnmask_foley.world import SOURCES, parse
from xattnmask_foley.world.grammar import CLASSES

TEXTS = ["We hear a loud bell followed by the rain", "the dog"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 1)
    for stage in (autoencoder, vocoder, clap):
        monkeypatch.setattr(stage, "POOL", 3)
        monkeypatch.setattr(stage, "BATCH", 2)
    monkeypatch.setattr(clap, "TEXT_BATCH", 2)
    monkeypatch.setattr(conditions, "BATCH", 2)
    monkeypatch.setattr(denoiser, "BATCH", 2)


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    model = AutoencoderKL(**autoencoder.CONFIG).eval()
    heard = clap.build(build_roberta()).eval()
    t5 = T5EncoderModel(T5Config(**text.config(build_t5()))).eval()
    return {"autoencoder": model, "clap": heard, "t5": t5, "texts": conditions.TwoTexts(heard, t5).eval()}


def stages(untrained, monkeypatch):
    def with_clap(folder, steps):
        monkeypatch.setattr(clap, "TEXT_STEPS", 1)
        monkeypatch.setattr(clap, "STEPS", steps)
        return clap.train(folder)

    def with_gpt2(folder, steps):
        monkeypatch.setattr(conditions, "STEPS", steps)
        return conditions.train(folder, untrained["clap"], untrained["t5"])

    def with_denoiser(folder, steps):
        torch.manual_seed(1)
        said = [caption for caption, _ in captions(TRAIN, 3)]
        latents, network = torch.randn(3, 8, 25, 8), denoiser.of_pooled_text()
        condition = conditions.PooledText(untrained["clap"])
        return denoiser.train(folder, network, condition, said, latents, steps=steps, seed=0)

    return {
        "autoencoder": autoencoder.train,
        "vocoder": lambda folder, steps: vocoder.train(folder, untrained["autoencoder"], steps),
        "clap": with_clap,
        "gpt2": with_gpt2,
        "denoiser": with_denoiser,
    }


@pytest.mark.parametrize("stage", ["autoencoder", "vocoder", "clap", "gpt2", "denoiser"])
def test_a_stopped_training_goes_on_where_it_was(stage, untrained, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "schedule", lambda step, steps: 1.0)  # or the two would differ in their learning rates
    train = stages(untrained, monkeypatch)[stage]
    through = train(tmp_path / "through", 3).state_dict()
    train(tmp_path / "stopped", 1)
    resumed = train(tmp_path / "stopped", 3).state_dict()
    assert through.keys() == resumed.keys()
    for name, value in through.items():
        assert torch.equal(value, resumed[name]), name


def test_log_mel_is_what_transformers_computes_in_float64():
    audio = np.random.default_rng(0).normal(size=4 * 16000) * 0.1
    margin = (WINDOW - HOP) // 2
    expected = spectrogram(
        np.pad(audio, margin, mode="reflect"), np.hanning(WINDOW + 1)[:-1], WINDOW, HOP, power=1.0, center=False,
        mel_filters=filters().double().numpy(), mel_floor=FLOOR, log_mel="log",
    )  # fmt: skip
    found = log_mel(torch.from_numpy(audio)[None].float())
    assert found.shape == (1, FRAMES, BANDS)
    np.testing.assert_allclose(found[0].numpy(), expected.T, atol=2e-3)


def test_silence_is_the_floor():
    assert torch.allclose(log_mel(torch.zeros(1, 6400)), torch.tensor(FLOOR).log())


def facts(caption, half, source):
    return meaning([parse(caption)])[0, half].view(len(SOURCES), FACTS)[list(SOURCES).index(source)].tolist()


def test_meaning_says_what_sounds_in_which_half_and_how():
    said = "a loud dog twice after the slow siren"
    assert facts(said, 0, "dog") == [0] * FACTS
    assert facts(said, 1, "dog") == [1, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    assert facts(said, 0, "siren") == [1, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert facts("rain and a bell", 0, "rain") == facts("rain and a bell", 1, "rain")
    assert meaning([parse("rain then a bell")]).sum() == 2 and meaning([parse("rain")]).sum() == 2


def test_turned_texts_have_the_other_order_and_otherwise_no_source():
    assert parse(clap.turned(parse("a dog then rain"))).order == ("rain", "dog")
    assert parse(clap.turned(parse("a dog after rain"))).order == ("dog", "rain")
    assert clap.turned(parse("a dog and rain")) == "a silence and silence"


def test_roberta_keeps_the_worlds_words_whole():
    tokenizer = build_roberta()
    for word in {word for said in CLASSES.values() for part in said for word in part.split()}:
        assert len(tokenizer.tokenize(word)) == len(tokenizer.tokenize(f" {word}")) == 1, word
    assert tokenizer.decode(tokenizer("a dog, zorp é!").input_ids, skip_special_tokens=True) == "a dog, zorp é!"
    assert tokenizer.unk_token_id not in tokenizer("a dog, zorp é!").input_ids


def test_latents_have_unit_variance(tmp_path):
    model = autoencoder.train(tmp_path, 1)
    latents = torch.cat([autoencoder.encode(model, clip[None]) for clip in autoencoder.pool(3)[0]])
    assert abs(latents.std() * model.config.scaling_factor - 1) < 1e-3
    assert latents.shape[1:] == (8, FRAMES // autoencoder.FACTOR, BANDS // autoencoder.FACTOR)


def test_unheard_words_are_not_read(untrained):
    torch.manual_seed(0)
    _, mask = untrained["texts"].read(TEXTS * 50, unheard=1.0)
    assert 0.35 < mask[::2].float().mean() < 0.65 and mask[1::2][:, 4:].sum() == 0


def test_the_text_side_gives_what_the_pipelines_adapter_gives(untrained):
    """The denoiser is trained on the inputs that it gets when audio is made."""
    from xattnmask_diffusers.audioldm import AudioLDM
    from xattnmask_diffusers.audioldm2 import AudioLDM2

    parts = copy.deepcopy(untrained["texts"])
    sound = untrained["autoencoder"], vocoder.untrained()
    two = diffusion.audioldm2(parts, denoiser.of_two_texts(parts.t5.config.d_model), *sound)
    one = diffusion.audioldm(parts.clap, denoiser.of_pooled_text(), *sound)
    for text_ in TEXTS:
        for adapter, condition in ((AudioLDM2(two, ""), parts), (AudioLDM(one, ""), conditions.PooledText(parts.clap))):
            expected = {name: value for name, value in condition([text_]).items() if value is not None}
            found = adapter.encode_text(text_, 1, {})
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                assert torch.allclose(found[name].float(), value.float(), atol=1e-5), name


def test_what_is_left_out_of_a_text():
    """Words at random, connectors by themselves, and what is read otherwise is the same before and after."""
    tokenizer, rng = build_t5(), np.random.default_rng(0)
    said = [parse("we hear a loud bell followed by the rain")] * 400
    batch = tokenizer([caption.text for caption in said], return_tensors="pt")
    whole, read = omission.masks(said, batch, tokenizer, rng)
    connector = [5, 6]
    columns = [c for c in range(batch["input_ids"].shape[1]) if c not in connector]
    assert batch["attention_mask"].all() and whole[:, columns].all() and read[:, -1].all()
    unconnected = 1 - whole[:, connector].float()
    assert (unconnected[:, 0] == unconnected[:, 1]).all() and 0.1 < unconnected.mean() < 0.2
    assert torch.equal(whole[:, connector], read[:, connector])
    left_out = 1 - read[:, columns[:-1]].float()
    assert (left_out.mean(0) > 0.1).all() and (left_out.sum(1) == 0).float().mean() > omission.WHOLE


def test_words_are_read_alike_where_others_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 1000)
    monkeypatch.setattr(loop, "schedule", lambda step, steps: 1.0)
    monkeypatch.setattr(omission, "STEPS", 400)
    monkeypatch.setattr(text, "BATCH", 16)
    torch.manual_seed(0)
    tokenizer = build_t5()
    encoder = T5EncoderModel(T5Config(**text.config(tokenizer))).eval()
    text.look_around(encoder)
    batch = dict(tokenizer(["a loud dog then the rain"], return_tensors="pt"))
    without = {**batch, "attention_mask": batch["attention_mask"].clone()}
    without["attention_mask"][0, 0] = 0
    before = text.states(encoder, batch).detach()

    def error(text_read):
        return (text.states(encoder, text_read) - before)[0, 1:].norm() / before[0, 1:].norm()

    untrained = error(without)
    omission.omit(tmp_path, encoder, tokenizer)
    assert error(without) < 0.85 * untrained and error(batch) < 0.2
