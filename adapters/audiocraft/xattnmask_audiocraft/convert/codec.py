"""The codec: EnCodec of transformers to audiocraft's SEANet, layer by layer the same network."""

from __future__ import annotations

import math
import re
from typing import Any

import torch

from xattnmask.errors import CheckpointError

_RENAMED = (
    (r"^(encoder|decoder)\.layers\.", r"\1.model."),
    (r"^quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook."),
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
)
_CONVOLUTION = re.compile(r"(.*)\.conv\.(weight_g|weight_v|weight|bias)")
_NORM = re.compile(r"(.*)\.norm\.(weight|bias)")


def codec_weights(model: Any) -> dict[str, torch.Tensor]:
    """Weights of audiocraft's ``EncodecModel`` for those of transformers'."""
    codec = model.audio_encoder
    upsampling = {
        name.replace("decoder.layers.", "decoder.model.")
        for name, module in codec.named_modules()
        if isinstance(getattr(module, "conv", None), torch.nn.ConvTranspose1d)
    }
    return {_name(name, upsampling): value for name, value in codec.state_dict().items()}


def _name(name: str, upsampling: set[str]) -> str:
    """audiocraft wraps each convolution once more, as ``conv.conv`` or ``convtr.convtr``."""
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    if match := _CONVOLUTION.fullmatch(name):
        inner = "convtr" if match[1] in upsampling else "conv"
        return f"{match[1]}.{inner}.{inner}.{match[2]}"
    if match := _NORM.fullmatch(name):
        return f"{match[1]}.{'convtr' if match[1] in upsampling else 'conv'}.norm.{match[2]}"
    return name


def codec_config(model: Any) -> dict[str, Any]:
    """``xp.cfg`` of the codec; raises CheckpointError for settings that audiocraft has no counterpart for."""
    codec = model.audio_encoder.config
    _check(codec)
    return {
        "compression_model": "encodec",
        "encodec": {
            "autoencoder": "seanet", "quantizer": "rvq", "sample_rate": codec.sampling_rate,
            "channels": codec.audio_channels, "causal": codec.use_causal_conv, "renormalize": codec.normalize,
        },
        "seanet": {
            "channels": codec.audio_channels, "dimension": codec.hidden_size, "n_filters": codec.num_filters,
            "n_residual_layers": codec.num_residual_layers, "ratios": list(codec.upsampling_ratios),
            "norm": codec.norm_type, "kernel_size": codec.kernel_size, "last_kernel_size": codec.last_kernel_size,
            "residual_kernel_size": codec.residual_kernel_size, "dilation_base": codec.dilation_growth_rate,
            "causal": codec.use_causal_conv, "pad_mode": codec.pad_mode, "true_skip": not codec.use_conv_shortcut,
            "compress": codec.compress, "lstm": codec.num_lstm_layers,
            "encoder": {}, "decoder": {"trim_right_ratio": codec.trim_right_ratio},
        },
        "rvq": {"n_q": len(model.audio_encoder.quantizer.layers), "bins": codec.codebook_size},
    }  # fmt: skip


def _check(codec: Any) -> None:
    wrong = []
    if codec.codebook_dim != codec.hidden_size:
        wrong.append(f"codebook_dim={codec.codebook_dim} beside hidden_size={codec.hidden_size}")
    if codec.chunk_length_s:
        wrong.append(f"chunk_length_s={codec.chunk_length_s}")
    if codec.normalize:
        wrong.append("normalize=True")
    if codec.sampling_rate % math.prod(codec.upsampling_ratios):
        wrong.append(f"{codec.sampling_rate / math.prod(codec.upsampling_ratios):g} frames a second")
    if wrong:
        raise CheckpointError(f"audiocraft has no codec with {', '.join(wrong)}: cannot be converted")
