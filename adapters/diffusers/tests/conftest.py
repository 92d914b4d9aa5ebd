"""Tiny random pipelines of the real classes, saved as checkpoints and loaded through from_pretrained."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers
from diffusers.pipelines.audioldm2 import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
from diffusers.pipelines.stable_audio import StableAudioProjectionModel
from diffusers.pipelines.stable_audio_3 import StableAudio3DurationEmbedder
from tokenizers import pre_tokenizers

import xattnmask as xm

torch.set_num_threads(1)
PIECES = ["▁a", "▁dog", "▁bark", "s", "▁then", "▁siren", "▁wail", "▁", "a", "d", "o", "g", "n", "é", "."]
PROMPT = "a dog barks then a siren wails"


def t5_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Unigram pieces with ▁ and </s> at the end, of T5's class, which the pipelines ask for."""
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0)]
    vocabulary += [(piece, -2.0 + 0.5 * len(piece)) for piece in PIECES]
    return transformers.T5TokenizerFast(
        vocab=vocabulary, extra_ids=0, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=16
    )


def roberta_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Byte-level pieces between <s> and </s>: single characters, and a few longer ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("d", "o"), ("do", "g"), ("Ġ", "dog"), ("e", "n"), ("a", "r"), ("Ġ", "a")]
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet, *("".join(pair) for pair in merges)]
    return transformers.RobertaTokenizerFast(
        vocab={name: i for i, name in enumerate(names)}, merges=merges, model_max_length=62
    )


def clap_text() -> transformers.ClapTextConfig:
    return transformers.ClapTextConfig(
        vocab_size=len(roberta_tokenizer()), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, projection_dim=16, max_position_embeddings=64, pad_token_id=1, bos_token_id=0,
        eos_token_id=2,
    )  # fmt: skip


def clap() -> transformers.ClapModel:
    audio = transformers.ClapAudioConfig(
        spec_size=8, window_size=4, num_mel_bins=8, patch_size=2, patch_stride=2, depths=[1], hidden_size=16,
        num_attention_heads=[2], num_hidden_layers=1, patch_embeds_hidden_size=16, projection_dim=16,
        enable_fusion=False, hidden_dim=16,
    )  # fmt: skip
    return transformers.ClapModel(
        transformers.ClapConfig(text_config=clap_text().to_dict(), audio_config=audio.to_dict(), projection_dim=16)
    )


def vae() -> diffusers.AutoencoderKL:
    return diffusers.AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=4, block_out_channels=[8, 8], norm_num_groups=4,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip


def vocoder() -> transformers.SpeechT5HifiGan:
    return transformers.SpeechT5HifiGan(
        transformers.SpeechT5HifiGanConfig(
            model_in_dim=8, sampling_rate=1600, upsample_initial_channel=8, upsample_rates=[4, 4],
            upsample_kernel_sizes=[8, 8], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]],
            normalize_before=False,
        )
    )  # fmt: skip


def scheduler() -> diffusers.DDIMScheduler:
    return diffusers.DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False
    )


def unet() -> dict:
    return {
        "sample_size": 16, "in_channels": 4, "out_channels": 4, "block_out_channels": (8, 16), "layers_per_block": 1,
        "norm_num_groups": 4, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 2,
    }  # fmt: skip


LOUDER = {"unet": 2.0, "transformer": 4.0, "text_encoder": 4.0, "vocoder": 30.0}
"""Factors by which random weights grow, so that the text matters and the audio is heard."""


def louder(pipeline: diffusers.DiffusionPipeline) -> None:
    for name, factor in LOUDER.items():
        for weight in getattr(pipeline, name).parameters() if name in pipeline.components else ():
            if weight.dim() > 1:
                weight.data.mul_(factor)


def close(found: torch.Tensor | np.ndarray, expected: torch.Tensor | np.ndarray, share: float = 1e-5) -> bool:
    """Whether the largest difference is at most a share of the largest value."""
    found, expected = (torch.as_tensor(values).double() for values in (found, expected))
    assert found.shape == expected.shape and found.isfinite().all()
    return float((found - expected).abs().max()) <= share * float(expected.abs().max())


def audioldm() -> diffusers.AudioLDMPipeline:
    network = diffusers.UNet2DConditionModel(
        **unet(), cross_attention_dim=(8, 16), class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=16, class_embeddings_concat=True,
    )  # fmt: skip
    return diffusers.AudioLDMPipeline(
        vae=vae(), text_encoder=transformers.ClapTextModelWithProjection(clap_text()), tokenizer=roberta_tokenizer(),
        unet=network, scheduler=scheduler(), vocoder=vocoder(),
    )  # fmt: skip


def musicldm() -> diffusers.MusicLDMPipeline:
    parts = audioldm().components
    extractor = transformers.ClapFeatureExtractor(feature_size=8, sampling_rate=1600)
    return diffusers.MusicLDMPipeline(**parts | {"text_encoder": clap(), "feature_extractor": extractor})


def audioldm2() -> diffusers.AudioLDM2Pipeline:
    t5 = transformers.T5EncoderModel(
        transformers.T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    )
    gpt2 = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=8, n_positions=64, max_new_tokens=4)
    )
    network = AudioLDM2UNet2DConditionModel(**unet(), cross_attention_dim=((None, 16, 16), (None, 16, 16)))
    return diffusers.AudioLDM2Pipeline(
        vae=vae(), text_encoder=clap(), text_encoder_2=t5, language_model=gpt2, tokenizer=roberta_tokenizer(),
        projection_model=AudioLDM2ProjectionModel(text_encoder_dim=16, text_encoder_1_dim=16, langauge_model_dim=16),
        tokenizer_2=t5_tokenizer(), unet=network, scheduler=scheduler(), vocoder=vocoder(),
        feature_extractor=transformers.ClapFeatureExtractor(feature_size=8, sampling_rate=1600),
    )  # fmt: skip


def stable_audio() -> diffusers.StableAudioPipeline:
    t5 = transformers.T5EncoderModel(
        transformers.T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    )
    network = diffusers.StableAudioDiTModel(
        sample_size=32, in_channels=3, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        num_key_value_attention_heads=2, out_channels=3, cross_attention_dim=16, time_proj_dim=8,
        global_states_input_dim=32, cross_attention_input_dim=16,
    )  # fmt: skip
    codec = diffusers.AutoencoderOobleck(
        encoder_hidden_size=6, downsampling_ratios=[2, 4], decoder_channels=3, decoder_input_channels=3,
        audio_channels=2, channel_multiples=[2, 4], sampling_rate=80,
    )  # fmt: skip
    return diffusers.StableAudioPipeline(
        vae=codec, text_encoder=t5, tokenizer=t5_tokenizer(), transformer=network,
        projection_model=StableAudioProjectionModel(
            text_encoder_dim=16, conditioning_dim=16, min_value=0, max_value=32
        ),
        scheduler=diffusers.EDMDPMSolverMultistepScheduler(
            sigma_min=0.3, sigma_max=500.0, sigma_schedule="exponential", prediction_type="v_prediction",
            sigma_data=1.0, solver_order=2, solver_type="midpoint",
        ),
    )  # fmt: skip


def gemma_tokenizer() -> transformers.GemmaTokenizer:
    """Pieces of words joined by merges, with ▁ for spaces, and <bos> in front; padding on the left, as Gemma has it."""
    letters = sorted(set("abcdefghijklmnopqrstuvwxyzé.▁"))
    merges = [("d", "o"), ("do", "g"), ("▁", "dog"), ("a", "r"), ("s", "i"), ("▁", "a")]
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    names += ["".join(pair) for pair in merges]
    return transformers.GemmaTokenizer(
        vocab={name: i for i, name in enumerate(names)}, merges=merges, model_max_length=40
    )


def stable_audio_3() -> diffusers.StableAudio3Pipeline:
    part = {
        "vocab_size": len(gemma_tokenizer()), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "query_pre_attn_scalar": 8,
    }  # fmt: skip
    text = transformers.T5GemmaConfig(encoder=part, decoder=part, is_encoder_decoder=False)
    network = diffusers.StableAudio3DiTModel(
        io_channels=4, embed_dim=16, depth=2, num_heads=2, cond_token_dim=16, global_cond_dim=16, local_add_cond_dim=5,
        timestep_features_dim=8, num_memory_tokens=3,
    )  # fmt: skip
    network.proj_out.weight.data.mul_(1e-3)  # or louder weights would make latents that no ear could tell apart
    codec = diffusers.AutoencoderSAME(
        patch_size=4, encoder_channels=8, encoder_c_mults=[2], encoder_strides=[2], encoder_transformer_depths=[1],
        latent_dim=4, dim_heads=8, sampling_rate=320,
    )  # fmt: skip
    for weight in codec.parameters():  # what begins at zero would let nothing through
        if weight.dim() > 1 and float(weight.detach().abs().max()) < 1e-3:
            torch.nn.init.normal_(weight, std=0.3)
    return diffusers.StableAudio3Pipeline(
        vae=codec, text_encoder=transformers.T5GemmaEncoderModel(text), tokenizer=gemma_tokenizer(),
        duration_embedder=StableAudio3DurationEmbedder(output_dim=16, fourier_dim=8, max_val=32.0),
        transformer=network,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1),
    )  # fmt: skip


BUILDERS: dict[str, Callable[[], diffusers.DiffusionPipeline]] = {
    "audioldm": audioldm, "audioldm2": audioldm2, "musicldm": musicldm, "stable-audio": stable_audio,
    "stable-audio-3": stable_audio_3,
}  # fmt: skip


KEYS = sorted(BUILDERS)
UNREADABLE = ("musicldm",)
"""Pipelines whose own encoding of a prompt fails on transformers 5."""


@pytest.fixture(scope="session")
def models(checkpoints: Callable[[str], Path]) -> Callable[[str], xm.Adapter]:
    """From a key to its tiny model, loaded once."""
    loaded: dict[str, xm.Adapter] = {}

    def model(key: str) -> xm.Adapter:
        if key not in loaded:
            loaded[key] = xm.load(key, str(checkpoints(key)))
        return loaded[key]

    return model


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """From a key to the folder of its tiny pipeline, made at the first call."""
    folder, made = tmp_path_factory.mktemp("pipelines"), {}

    def checkpoint(key: str) -> Path:
        if key not in made:
            torch.manual_seed(0)
            pipeline = BUILDERS[key]()
            louder(pipeline)
            pipeline.save_pretrained(folder / key)
            made[key] = folder / key
        return made[key]

    return checkpoint
