"""Tiny random models of the real classes, saved as checkpoints and loaded through from_pretrained."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenMelodyConfig,
    MusicgenMelodyDecoderConfig,
    T5Config,
)
from xattnmask_transformers.musicgen import MusicGen
from xattnmask_transformers.musicgen_melody import MusicGenMelody
from xattnmask_transformers.sampling import FiniteLogits

torch.set_num_threads(1)
PIECES = ["▁a", "▁dog", "▁bark", "s", "▁then", "▁siren", "▁wail", "▁", "a", "d", "o", "g", "n", "é", "."]


def save_tokenizer(folder: Path) -> None:
    """A small sentencepiece-like tokenizer as T5's: unigram pieces with ▁, nmt-like normalizer, </s> at the end."""
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0)]
    vocabulary += [(piece, -2.0 + 0.5 * len(piece)) for piece in PIECES]
    tokenizer = Tokenizer(Unigram(vocabulary, unk_id=2))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=24
    ).save_pretrained(folder)


def parts(channels: int = 1, codebooks: int = 4) -> dict:
    """Configurations of a text encoder and a codec (25 frames a second at 400 Hz), and the decoder's sizes."""
    text = T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    codec = EncodecConfig(
        target_bandwidths=[0.4], sampling_rate=400, upsampling_ratios=[4, 4], num_filters=2, hidden_size=4,
        num_lstm_layers=1, codebook_size=16, kernel_size=3, last_kernel_size=3,
    )
    sizes = dict(vocab_size=16, pad_token_id=16, bos_token_id=16, num_hidden_layers=2, ffn_dim=16, hidden_size=24,
                 num_attention_heads=2, num_codebooks=codebooks * channels, audio_channels=channels)
    return {"text_encoder": text.to_dict(), "audio_encoder": codec.to_dict(), "sizes": sizes}


def save_model(model: transformers.PreTrainedModel, folder: Path, max_length: int | None = 104) -> Path:
    """Save with louder weights, so that text and history matter, and with a tokenizer."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and not name.startswith("audio_encoder"):
                weight.mul_(8.0)
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()
    ids = dict(pad_token_id=16, bos_token_id=16, decoder_start_token_id=16)
    model.generation_config = transformers.GenerationConfig(**ids, max_length=max_length)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_musicgen(folder: Path, channels: int = 1, max_length: int | None = 104) -> Path:
    torch.manual_seed(0)
    config = parts(channels)
    config["decoder"] = MusicgenDecoderConfig(**config.pop("sizes")).to_dict()
    return save_model(transformers.MusicgenForConditionalGeneration(MusicgenConfig(**config)), folder, max_length)


def save_melody(folder: Path) -> Path:
    torch.manual_seed(0)
    config = parts()
    config["decoder"] = MusicgenMelodyDecoderConfig(**config.pop("sizes")).to_dict()
    config = MusicgenMelodyConfig(**config, num_chroma=3, chroma_length=5)
    return save_model(transformers.MusicgenMelodyForConditionalGeneration(config), folder)


@pytest.fixture(params=["musicgen", "stereo", "melody"])
def model(request: pytest.FixtureRequest) -> MusicGen:
    """Each kind of model in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def logits(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Fills with generate's own logits, step by step [rows * K, V], before guidance and sampling."""
    steps: list[torch.Tensor] = []

    def record(self, input_ids, scores):
        steps.append(scores.clone())
        return scores

    monkeypatch.setattr(FiniteLogits, "__call__", record)
    return steps


@pytest.fixture(scope="session")
def musicgen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_musicgen(tmp_path_factory.mktemp("musicgen"))


@pytest.fixture(scope="session")
def musicgen(musicgen_folder: Path) -> MusicGen:
    return MusicGen.from_checkpoint(str(musicgen_folder))


@pytest.fixture(scope="session")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> MusicGen:
    return MusicGen.from_checkpoint(str(save_musicgen(tmp_path_factory.mktemp("stereo"), channels=2)))


@pytest.fixture(scope="session")
def melody(tmp_path_factory: pytest.TempPathFactory) -> MusicGenMelody:
    if transformers.__version__.startswith("4."):
        pytest.skip("transformers 4 drops the text of MusicGen-melody")
    return MusicGenMelody.from_checkpoint(str(save_melody(tmp_path_factory.mktemp("melody"))))
