"""The converter: the same numbers in both libraries, whatever the sizes; what has no counterpart is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

import xattnmask as xm
from xattnmask.errors import CheckpointError, OutputError

pytest.importorskip("xattnmask_transformers")
from .conftest import CODES, PROMPT, louder, save_text_encoder

CODEC = {"target_bandwidths": [0.4], "sampling_rate": 400, "upsampling_ratios": [4, 4], "num_filters": 2,
         "hidden_size": 4, "codebook_dim": 4, "num_lstm_layers": 1, "codebook_size": CODES, "kernel_size": 3,
         "last_kernel_size": 3, "normalize": False}  # fmt: skip
DECODER = {"vocab_size": CODES, "pad_token_id": CODES, "bos_token_id": CODES, "num_hidden_layers": 2, "ffn_dim": 40,
           "hidden_size": 24, "num_attention_heads": 2, "num_codebooks": 4}  # fmt: skip


def save(folder: Path, decoder=(), codec=(), max_length=104) -> Path:
    """A tiny random MusicGen of transformers."""
    save_text_encoder(folder)
    text = transformers.T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    parts = {
        "text_encoder": text.to_dict(),
        "audio_encoder": transformers.EncodecConfig(**{**CODEC, **dict(codec)}).to_dict(),
        "decoder": transformers.MusicgenDecoderConfig(**{**DECODER, **dict(decoder)}).to_dict(),
    }
    torch.manual_seed(3)
    model = transformers.MusicgenForConditionalGeneration(transformers.MusicgenConfig(**parts))
    louder(model.decoder, 8.0)
    louder(model.text_encoder, 8.0)
    with torch.no_grad():
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()
        for name, weight in model.named_parameters():
            if weight.dim() == 1 and not name.startswith("text_encoder"):
                weight.add_(0.1 * torch.randn_like(weight))  # biases and norms that a mistake would show in
    ids = {"pad_token_id": CODES, "bos_token_id": CODES, "decoder_start_token_id": CODES}
    model.generation_config = transformers.GenerationConfig(**ids, max_length=max_length)
    model.save_pretrained(folder)
    return folder


def converted(source: Path, out: Path):
    """Both adapters, of transformers and of audiocraft."""
    from xattnmask_audiocraft.convert import convert

    return xm.load("musicgen", str(source)), xm.load("audiogen", str(convert(str(source), out)))


STEREO = {"num_codebooks": 8, "audio_channels": 2}
VARIANTS = {
    "causal": {"codec": {"use_causal_conv": True, "trim_right_ratio": 0.5}},
    "not causal": {"codec": {"use_causal_conv": False}},
    "group norm": {"codec": {"use_causal_conv": False, "norm_type": "time_group_norm"}},
    "other codec": {"codec": {"use_conv_shortcut": False, "num_lstm_layers": 2, "num_residual_layers": 2,
                              "pad_mode": "constant"}},
    "stereo": {"decoder": STEREO},
    "fewer codebooks": {"decoder": {"num_codebooks": 2}},
    "relu": {"decoder": {"activation_function": "relu", "ffn_dim": 32}},
    "unprojected": {"decoder": {"hidden_size": 16, "num_attention_heads": 4}},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_the_same_audio_and_states_in_both_libraries(variant, tmp_path):
    theirs, ours = converted(save(tmp_path / "in", **VARIANTS[variant]), tmp_path / "out")
    first = theirs.generate(PROMPT, seed=0, duration=0.8)
    again = ours.generate(PROMPT, seed=0, duration=0.8)
    second = replace(again, replay=first.replay)
    codes = first.replay["codes"]
    assert torch.allclose(ours.codec.decode(codes[None])[0].squeeze(), torch.tensor(first.audio), atol=1e-5)
    assert torch.allclose(ours.replay(second), theirs.replay(first), atol=1e-4)
    assert (second.positions == first.positions).all() and second.times == pytest.approx(first.times)
    assert second.tokens == first.tokens and ours.max_duration == pytest.approx(theirs.max_duration)
    assert torch.equal(again.replay["codes"], codes)  # both draw by torch.multinomial from the same probabilities


@torch.no_grad()
def test_the_encoder_is_converted_too(tmp_path):
    theirs, ours = converted(save(tmp_path / "in"), tmp_path / "out")
    audio = torch.randn(1, 1, 400)
    codes = theirs.backbone.audio_encoder.encode(audio).audio_codes[0]
    assert torch.equal(ours.codec.encode(audio)[0], codes)


def test_a_longest_audio_that_is_not_said_is_musicgens(tmp_path):
    _, ours = converted(save(tmp_path / "in", max_length=None), tmp_path / "out")
    assert ours.max_duration == 30.0


@pytest.mark.parametrize(("parts", "match"), [
    ({"codec": {"codebook_dim": 2}}, "codebook_dim=2 beside hidden_size=4"),
    ({"codec": {"chunk_length_s": 1.0, "overlap": 0.5}}, "chunk_length_s=1.0"),
    ({"codec": {"normalize": True}}, "normalize=True"),
    ({"codec": {"sampling_rate": 404, "target_bandwidths": [0.5]}}, "25.25 frames a second"),
    ({"decoder": {"activation_function": "silu"}}, "activation_function='silu'"),
    ({"decoder": {"scale_embedding": True}}, "scale_embedding=True"),
])
def test_what_audiocraft_has_no_counterpart_for_is_refused(tmp_path, parts, match):
    from xattnmask_audiocraft.convert import convert

    source = save(tmp_path / "in", **parts)
    with pytest.raises(CheckpointError, match=f"{match}.*cannot be converted"):
        convert(str(source), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_folder_must_be_empty(tmp_path):
    from xattnmask_audiocraft.convert import convert

    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").touch()
    with pytest.raises(OutputError, match="not an empty folder"):
        convert("foley-musicgen", tmp_path / "out")
    with pytest.raises(CheckpointError, match="neither a folder"):
        convert(str(tmp_path / "nowhere"), tmp_path / "other")


def test_the_command(tmp_path, capsys):
    from xattnmask_audiocraft.convert.__main__ import main

    out = tmp_path / "new/out"
    assert main([str(save(tmp_path / "in")), str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert sorted(file.name for file in out.iterdir()) == ["compression_state_dict.bin", "state_dict.bin", "t5"]
    assert json.loads(torch.load(out / "state_dict.bin")["xp.cfg"])["conditioners"]["description"]["t5"]["name"] == "t5"
    assert main([str(tmp_path / "in"), str(out)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert [path.name for path in out.parent.iterdir()] == ["out"]
