"""Loading: dtype and device honoured, every fault of a checkpoint told in one line."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from xattnmask.errors import CheckpointError, SettingError

from .conftest import MusicGen, MusicGenMelody, parts, save_tokenizer


@pytest.fixture
def copy(musicgen_folder, tmp_path):
    return shutil.copytree(musicgen_folder, tmp_path / "copy")


def fails(folder, match, adapter=MusicGen):
    with pytest.raises(CheckpointError, match=match) as caught:
        adapter.from_checkpoint(str(folder))
    assert "\n" not in str(caught.value)


def test_frozen_in_evaluation_mode(musicgen):
    assert not musicgen.backbone.training
    assert not any(parameter.requires_grad for parameter in musicgen.backbone.parameters())


def test_codec_stays_in_float32(musicgen, musicgen_folder):
    half = MusicGen.from_checkpoint(str(musicgen_folder), dtype="bfloat16")
    assert {p.dtype for p in half.backbone.decoder.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in half.backbone.text_encoder.parameters()} == {torch.bfloat16}
    for ours, full in zip(half.backbone.audio_encoder.parameters(), musicgen.backbone.audio_encoder.parameters(),
                          strict=True):
        assert torch.equal(ours, full)
    generation = half.generate("a dog barks", duration=0.4)
    assert generation.audio.dtype.name == "float32" and half.replay(generation).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_dtypes(musicgen_folder, dtype):
    model = MusicGen.from_checkpoint(str(musicgen_folder), dtype=dtype)
    generation = model.generate("a dog barks", duration=0.4)
    hidden = model.replay(generation)
    assert hidden.dtype == getattr(torch, dtype) and hidden.isfinite().all()


@pytest.mark.parametrize("bad", [{"dtype": "int8"}, {"dtype": "nonsense"}, {"device": "cuda:99"}, {"device": "moon"}])
def test_bad_dtype_or_device(musicgen_folder, bad):
    with pytest.raises(SettingError):
        MusicGen.from_checkpoint(str(musicgen_folder), **bad)


def test_missing_folder(tmp_path):
    fails(tmp_path / "nowhere", "no such checkpoint folder")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    fails(tmp_path / "file", "no such checkpoint folder")


def test_unknown_hub_id():
    fails("nobody/nothing-of-the-kind", "nor from the hub")


def test_empty_folder(tmp_path):
    fails(tmp_path, "config.json")


def test_malformed_config(copy):
    (copy / "config.json").write_text("{")
    fails(copy, "config.json")


def test_no_weights(copy):
    (copy / "model.safetensors").unlink()
    fails(copy, "weights")


def test_corrupt_weights(copy):
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    fails(copy, "weights")


def test_partial_weights(copy):
    weights = load_file(copy / "model.safetensors")
    weights.pop("decoder.model.decoder.layers.1.encoder_attn.q_proj.weight")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    fails(copy, r"1 missing keys .*encoder_attn")


def test_weights_of_another_shape(copy):
    config = json.loads((copy / "config.json").read_text())
    config["decoder"]["ffn_dim"] = 12
    (copy / "config.json").write_text(json.dumps(config))
    fails(copy, "weights")


def test_no_tokenizer(copy):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    fails(copy, "tokenizer")


def test_another_kind_of_model(copy, tmp_path):
    fails(copy, r"'musicgen', not 'musicgen_melody'", MusicGenMelody)
    text = tmp_path / "t5"
    transformers.T5EncoderModel(transformers.T5Config(**parts()["text_encoder"])).save_pretrained(text)
    save_tokenizer(text)
    fails(text, r"'t5', not 'musicgen'")


def test_codec_of_other_codes(copy):
    model = transformers.MusicgenForConditionalGeneration.from_pretrained(copy)
    model.config.audio_encoder.codebook_size = 32
    with pytest.raises(CheckpointError, match="16 codes, the codec knows 32"):
        MusicGen(model, None, "x")


def test_codec_of_fewer_codebooks(copy):
    model = transformers.MusicgenForConditionalGeneration.from_pretrained(copy)
    del model.audio_encoder.quantizer.layers[3]
    with pytest.raises(CheckpointError, match="4 codebooks, the codec knows 3"):
        MusicGen(model, None, "x")


def test_start_token_that_is_a_code(copy):
    model = transformers.MusicgenForConditionalGeneration.from_pretrained(copy)
    model.generation_config.decoder_start_token_id = 3
    with pytest.raises(CheckpointError, match="start token is 3"):
        MusicGen(model, None, "x")


def test_older_names_of_weights_load(copy, musicgen):
    weights = load_file(copy / "model.safetensors")
    for number, name in enumerate(["weight_g", "weight_v"]):
        weights = {k.replace(f"parametrizations.weight.original{number}", name): v for k, v in weights.items()}
    weights["decoder.model.decoder.embed_positions.weights"] = torch.zeros(2048, 24)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    ours, theirs = (m.generate("a dog", duration=0.4).audio for m in (MusicGen.from_checkpoint(str(copy)), musicgen))
    assert (ours == theirs).all()


def test_non_causal_decoder_is_refused(copy):
    model = transformers.MusicgenForConditionalGeneration.from_pretrained(copy).eval()
    attention = model.decoder.model.decoder.layers[0].self_attn
    attention.register_forward_hook(lambda module, args, output: (output[0] + output[0].mean(1, keepdim=True), None))
    with pytest.raises(CheckpointError, match="not causal"):
        MusicGen(model, None, str(copy))


@pytest.mark.skipif(transformers.__version__ < "5.24", reason="earlier versions fail by themselves")
def test_decoder_put_together_from_parts_is_refused(copy):
    good = transformers.MusicgenForConditionalGeneration.from_pretrained(copy)
    decoder = transformers.MusicgenForCausalLM(good.config.decoder)
    decoder.load_state_dict(good.decoder.state_dict())
    decoder.config._attn_implementation = None
    model = transformers.MusicgenForConditionalGeneration(
        text_encoder=good.text_encoder, audio_encoder=good.audio_encoder, decoder=decoder)
    model.generation_config = good.generation_config
    with pytest.raises(CheckpointError, match="not causal"):
        MusicGen(model.eval(), None, str(copy))


def test_tokenizer_of_another_text_encoder(copy):
    tokenizer = transformers.AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens([f"word{i}" for i in range(40)])
    tokenizer.save_pretrained(copy)
    fails(copy, "its tokenizer has 58 tokens, its text encoder 32")
