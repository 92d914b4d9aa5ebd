"""Randomly initialised MusicGen models of given sizes: for timings, where the weights do not matter."""

from __future__ import annotations

import torch
from transformers import MusicgenConfig, MusicgenForConditionalGeneration
from xattnmask_foley.training.tokenizer import build as build_tokenizer
from xattnmask_transformers.musicgen import MusicGen

PROMPT = "we hear a loud fast dog followed by the faint slow siren then rain"
"""Fourteen words the tokenizer knows whole, and the end of the sentence."""
SIZES = {
    "small": {"text": (768, 12, 12, 3072), "decoder": (1024, 24, 16, 4096)},
    "tiny": {"text": (128, 2, 4, 256), "decoder": (192, 4, 6, 512)},
}
"""Width, layers, heads and feed-forward width; ``small`` are those of facebook/musicgen-small (T5-base, 24 layers)."""
CODEBOOK = 2048


def random_musicgen(size: str, *, longest: int = 1504) -> MusicGen:
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
    backbone = MusicgenForConditionalGeneration(config).eval().requires_grad_(False)
    backbone.generation_config.max_length = longest
    return MusicGen(backbone, tokenizer, f"random-{size}")
