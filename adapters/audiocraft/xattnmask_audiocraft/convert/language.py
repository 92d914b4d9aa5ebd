"""The language model: transformers' names and settings to audiocraft's."""

from __future__ import annotations

import math
import re
from typing import Any

import torch

from xattnmask.errors import CheckpointError

_RENAMED = (
    (r"^enc_to_dec_proj\.", "condition_provider.conditioners.description.output_proj."),
    (r"^decoder\.model\.decoder\.embed_tokens\.", "emb."),
    (r"^decoder\.model\.decoder\.layer_norm\.", "out_norm."),
    (r"^decoder\.lm_heads\.", "linears."),
    (r"^decoder\.model\.decoder\.layers\.", "transformer.layers."),
    (r"\.encoder_attn\.", ".cross_attention."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.encoder_attn_layer_norm\.", ".norm_cross."),
    (r"\.final_layer_norm\.", ".norm2."),
    (r"\.fc(\d)\.", r".linear\1."),
)
_PROJECTION = re.compile(r"(.*\.(?:self_attn|cross_attention))\.([qkv])_proj\.(weight|bias)")


def language_weights(model: Any) -> dict[str, torch.Tensor]:
    """Weights of a ``LMModel`` for those of MusicGen of transformers; its T5 is kept apart, as in audiocraft."""
    found: dict[str, torch.Tensor] = {}
    apart: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in model.state_dict().items():
        if name.startswith(("audio_encoder.", "text_encoder.")) or name.endswith("embed_positions.weights"):
            continue
        for old, new in _RENAMED:
            name = re.sub(old, new, name)
        if match := _PROJECTION.fullmatch(name):
            apart.setdefault(f"{match[1]}.in_proj_{match[3]}", {})[match[2]] = value
        else:
            found[name] = value
    found |= {name: torch.cat([parts[part] for part in "qkv"]) for name, parts in apart.items()}
    return found | _projection(model)


def _projection(model: Any) -> dict[str, torch.Tensor]:
    """audiocraft always projects the text; transformers does not where its width is the model's own."""
    if getattr(model, "enc_to_dec_proj", None) is not None:
        return {}
    width = model.decoder.config.hidden_size
    name = "condition_provider.conditioners.description.output_proj."
    return {f"{name}weight": torch.eye(width), f"{name}bias": torch.zeros(width)}


def language_config(model: Any, text_encoder: str) -> dict[str, Any]:
    """``xp.cfg`` of the language model; ``text_encoder`` is the folder of its T5.

    Raises CheckpointError for settings that audiocraft has no counterpart for.
    """
    decoder = model.decoder.config
    _check(decoder)
    channels = decoder.audio_channels
    delays = [k // channels for k in range(decoder.num_codebooks)]
    return {
        "lm_model": "transformer_lm",
        "transformer_lm": _transformer(model),
        "codebooks_pattern": {"modeling": "delay", "delay": {"delays": delays}},
        "classifier_free_guidance": {
            "training_dropout": 0.0, "inference_coef": float(model.generation_config.guidance_scale or 3.0),
        },
        "attribute_dropout": {},
        "fuser": {"sum": [], "prepend": [], "cross": ["description"], "input_interpolate": []},
        "conditioners": {
            "args": {}, "description": {"model": "t5", "t5": {"name": text_encoder, "finetune": False}},
        },
        "dataset": {"segment_duration": _longest(model, max(delays))},
        "interleave_stereo_codebooks": {"use": channels == 2, "per_timestep": False},
        "compression_model_n_q": decoder.num_codebooks // channels,
    }  # fmt: skip


def _transformer(model: Any) -> dict[str, Any]:
    decoder, layer = model.decoder.config, model.decoder.model.decoder.layers[0]
    return {
        "n_q": decoder.num_codebooks, "card": decoder.vocab_size, "dim": decoder.hidden_size,
        "num_heads": decoder.num_attention_heads, "num_layers": decoder.num_hidden_layers,
        "hidden_scale": decoder.ffn_dim / decoder.hidden_size, "activation": decoder.activation_function,
        "norm": "layer_norm", "norm_first": True, "positional_embedding": "sin", "dropout": 0.0, "causal": True,
        "memory_efficient": True, "custom": False, "bias_ff": layer.fc1.bias is not None,
        "bias_attn": layer.self_attn.q_proj.bias is not None, "bias_proj": model.decoder.lm_heads[0].bias is not None,
    }  # fmt: skip


_POSSIBLE = {"scale_embedding": (False,), "activation_function": ("gelu", "relu"), "audio_channels": (1, 2)}


def _check(decoder: Any) -> None:
    values = {name: getattr(decoder, name) for name in _POSSIBLE}
    wrong = [f"{name}={value!r}" for name, value in values.items() if value not in _POSSIBLE[name]]
    if int(decoder.ffn_dim / decoder.hidden_size * decoder.hidden_size) != decoder.ffn_dim:
        wrong.append(f"ffn_dim={decoder.ffn_dim}")
    if wrong:
        raise CheckpointError(f"audiocraft has no language model with {', '.join(wrong)}: cannot be converted")


def _longest(model: Any, delay: int) -> float:
    """Seconds of the longest audio: the checkpoint's own maximal length less the start and the delays, else 30."""
    codec, length = model.audio_encoder.config, model.generation_config.max_length or 0
    frame: float = math.prod(codec.upsampling_ratios) / codec.sampling_rate
    return (length - delay - 1) * frame if length > 20 else 30.0  # 20 is transformers' own default
