"""Randomly initialised models of given sizes: for timings, where the weights do not matter."""

from __future__ import annotations

import diffusers
import torch
import transformers
from diffusers.pipelines.audioldm2 import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
from transformers import MusicgenConfig, MusicgenForConditionalGeneration
from xattnmask_diffusers.audioldm2 import AudioLDM2
from xattnmask_foley.training.clap import feature_extractor
from xattnmask_foley.training.tokenizer import build as build_tokenizer
from xattnmask_foley.training.tokenizer import build_roberta
from xattnmask_transformers.musicgen import MusicGen

PROMPT = "we hear a loud fast dog followed by the faint slow siren then rain"
"""Fourteen words the tokenizer knows whole, and the end of the sentence."""
SIZES = {
    "small": {"text": (768, 12, 12, 3072), "decoder": (1024, 24, 16, 4096)},
    "tiny": {"text": (128, 2, 4, 256), "decoder": (192, 4, 6, 512)},
}
"""Width, layers, heads and feed-forward width; ``small`` are those of facebook/musicgen-small (T5-base, 24 layers)."""
CODEBOOK = 2048


def random_musicgen(size: str, *, longest: int = 1504, device: str = "cpu") -> MusicGen:
    """An adapter around random weights, with the 32 kHz, 50 frames a second EnCodec of the published models."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    width, layers, heads, wide = SIZES[size]["text"]
    text = {
        "model_type": "t5",
        "vocab_size": 32128 if size == "small" else len(tokenizer),
        "d_model": width,
        "d_kv": width // heads,
        "d_ff": wide,
        "num_layers": layers,
        "num_heads": heads,
    }
    width, layers, heads, wide = SIZES[size]["decoder"]
    decoder = {
        "vocab_size": CODEBOOK,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "ffn_dim": wide,
        "num_codebooks": 4,
        "pad_token_id": CODEBOOK,
        "bos_token_id": CODEBOOK,
        "max_position_embeddings": 2048,
    }
    codec = {
        "model_type": "encodec",
        "sampling_rate": 32000,
        "audio_channels": 1,
        "num_filters": 64,
        "hidden_size": 128,
        "codebook_dim": 128,
        "upsampling_ratios": [8, 5, 4, 4],
        "codebook_size": CODEBOOK,
        "target_bandwidths": [2.2],
        "num_lstm_layers": 2,
        "normalize": False,
        "norm_type": "weight_norm",
    }
    config = MusicgenConfig(text_encoder=text, audio_encoder=codec, decoder=decoder)
    backbone = MusicgenForConditionalGeneration(config).eval().requires_grad_(False).to(device)
    backbone.generation_config.max_length = longest
    return MusicGen(backbone, tokenizer, f"random-{size}")


def random_audioldm2(device: str = "cpu") -> AudioLDM2:
    """An adapter around random weights of cvssp/audioldm2's sizes: UNet, T5-large, GPT-2 and CLAP's text encoder."""
    torch.manual_seed(0)
    tokenizer, roberta = build_tokenizer(), build_roberta()
    tokenizer.model_max_length = 512
    unet = AudioLDM2UNet2DConditionModel(
        sample_size=256, in_channels=8, out_channels=8, block_out_channels=(128, 256, 384, 640), attention_head_dim=32,
        cross_attention_dim=[[None, 768, 1024]] * 4,
        down_block_types=["DownBlock2D", *["CrossAttnDownBlock2D"] * 3],
        up_block_types=[*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"],
    )  # fmt: skip
    t5 = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=1024, d_kv=64, d_ff=2816, num_layers=24, num_heads=16,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    gpt2 = transformers.GPT2Config(vocab_size=8, max_new_tokens=8, bos_token_id=0, eos_token_id=0)
    text = transformers.ClapTextConfig(vocab_size=len(roberta), projection_dim=512).to_dict()
    # CLAP's audio half only ranks several waveforms, and does not run here: it is left small
    audio = transformers.ClapAudioConfig(depths=[1, 1, 1, 1], projection_dim=512).to_dict()
    vae = diffusers.AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=8, block_out_channels=[128, 256, 512], layers_per_block=2,
        down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3,
    )  # fmt: skip
    vocoder = transformers.SpeechT5HifiGanConfig(
        model_in_dim=64, sampling_rate=16000, upsample_initial_channel=1024, upsample_rates=[5, 4, 2, 2, 2],
        upsample_kernel_sizes=[16, 16, 8, 4, 4], normalize_before=False,
    )  # fmt: skip
    pipeline = diffusers.AudioLDM2Pipeline(
        vae=vae, text_encoder=transformers.ClapModel(transformers.ClapConfig(text_config=text, audio_config=audio)),
        text_encoder_2=transformers.T5EncoderModel(t5), language_model=transformers.GPT2LMHeadModel(gpt2),
        projection_model=AudioLDM2ProjectionModel(512, 1024, 768), tokenizer=roberta, tokenizer_2=tokenizer, unet=unet,
        feature_extractor=feature_extractor(), scheduler=diffusers.DDIMScheduler(beta_schedule="scaled_linear"),
        vocoder=transformers.SpeechT5HifiGan(vocoder),
    )  # fmt: skip
    return AudioLDM2(pipeline.to(device), "random-audioldm2")
