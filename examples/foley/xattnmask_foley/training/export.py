"""Trained weights as what is shipped: safetensors in half precision, loadable by the library's own loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import EncodecModel, MusicgenForConditionalGeneration

from ..checkpoint import FOLDER
from ..judge import WEIGHTS, JudgeNetwork
from .tokenizer import build as build_tokenizer

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

M = TypeVar("M", bound=nn.Module)


def rounded(model: M) -> M:
    """``model`` in float32 with every weight rounded to half precision, as users will load it."""
    return model.half().float()


def save_musicgen(model: MusicgenForConditionalGeneration, codec: EncodecModel) -> None:
    """Save model and tokenizer as the named checkpoint ``foley-musicgen``, with the refined decoder of ``codec``."""
    folder = FOLDER / "foley-musicgen"
    model.audio_encoder.load_state_dict(codec.state_dict())
    model.half().save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    model.float()


def save_judge(network: JudgeNetwork) -> None:
    """Save the weights of the judge."""
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            name: value.to(torch.float16) if value.is_floating_point() else value
            for name, value in network.state_dict().items()
        },
        WEIGHTS,
    )


def save_pipeline(pipeline: DiffusionPipeline, name: str) -> None:
    """Save a pipeline of diffusers as the named checkpoint ``name``."""
    pipeline.to(torch.float16).save_pretrained(FOLDER / name)
    pipeline.to(torch.float32)
