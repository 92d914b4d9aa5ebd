"""Stable Audio 3: rectified flow over the latents of a waveform, in a transformer that reads T5Gemma's states.

Its attention is differential, the difference of two, and a mask acts on both. Its keys are the prompt's tokens, a
learned embedding for each padding token, and one for the duration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from xattnmask.adapter import Adapter
from xattnmask.errors import MissingLibraryError
from xattnmask.plugins.hookspecs import hookimpl
from xattnmask.sites import Site
from xattnmask.text import Token

from .latents import line_places, padded
from .pipeline import PipelineAdapter
from .tokens import limit, tokenize

try:
    from diffusers import StableAudio3Pipeline
except ImportError as error:
    raise MissingLibraryError("stable-audio-3 needs a newer diffusers: pip install -U 'diffusers>=0.42'") from error

MOST_TOKENS = 256


class StableAudio3(PipelineAdapter):
    """Stable Audio 3 of diffusers; ``generate`` takes the settings of :class:`DenoisingSettings` besides the others.

    The distilled checkpoints have guidance in their weights, and take none by default.
    """

    key: ClassVar[str] = "stable-audio-3"
    pipeline_class: ClassVar[Any] = StableAudio3Pipeline
    denoiser_name: ClassVar[str] = "transformer"
    encodes_apart: ClassVar[bool] = True

    def __init__(self, pipeline: Any, checkpoint: str) -> None:
        super().__init__(pipeline, checkpoint)
        distilled = bool(pipeline.scheduler.config.stochastic_sampling)
        self.default_steps, self.default_guidance = (8, 1.0) if distilled else (100, 3.0)
        self.column = pipeline.vae.downsampling_ratio / pipeline.vae.config.sampling_rate
        self.channels = int(pipeline.vae.config.audio_channels)
        self.max_duration = float(pipeline.duration_embedder.config.max_val)
        self.max_tokens = limit(pipeline.tokenizer, MOST_TOKENS)

    @property
    def sample_rate(self) -> int:
        return int(self.pipeline.vae.config.sampling_rate)

    def tokenize(self, prompt: str) -> tuple[Token, ...]:
        return tokenize(self.pipeline.tokenizer, prompt)

    def sites(self, num_tokens: int) -> Sequence[Site]:
        first = self.max_tokens - num_tokens if self.pipeline.tokenizer.padding_side == "left" else 0
        tokens, calls = slice(first, first + num_tokens), 2 if self.denoiser.config.use_differential_attention else 1
        path = "transformer.transformer_blocks.{}.cross_attn"
        cross = [
            Site(path.format(i), i, "cross", "t5", keys=tokens, calls=calls, places=self._places)
            for i in range(len(self.denoiser.transformer_blocks))
        ]
        layers = range(len(self.backbone["text_encoder"].encoder.layers))
        path = "text_encoder.encoder.layers.{}.self_attn"
        return cross + [Site(path.format(i), i, "text-encoder", "t5", keys=tokens) for i in layers]

    def encode_text(self, prompt: str, rows: int, given: Mapping[str, Any]) -> dict[str, Tensor]:
        """T5Gemma's states, then the key of the duration that was given."""
        states = self._states(prompt, rows)[0]
        duration = given["encoder_hidden_states"][:1, -1:].to(states)
        text = {"encoder_hidden_states": torch.cat([states, duration.expand(rows, -1, -1)], dim=1)}
        mask = given["encoder_attention_mask"]
        return text if mask is None else text | {"encoder_attention_mask": mask[:1].expand(rows, -1)}

    def pipeline_text(self, prompt: str, negative: str | None, num_tokens: int, guided: bool) -> dict[str, Any]:
        names = ("prompt_embeds", "encoder_attention_mask")
        text = dict(zip(names, self._states(prompt, 1), strict=True))
        if guided:
            with self.encoding_negative():
                states, mask = self._states(negative or "", 1)
            text |= {"negative_prompt_embeds": states, "negative_encoder_attention_mask": mask}
        return text

    def duration_arguments(self, duration: float) -> dict[str, Any]:
        return {"duration": duration}

    def encode_sound(self, rows: np.ndarray, columns: int) -> Tensor:
        vae = self.backbone["vae"]
        samples = padded(rows, columns * vae.downsampling_ratio)
        latents: Tensor = vae.encode(samples.to(self.device, vae.dtype)).latents
        return latents

    def _states(self, prompt: str, rows: int) -> tuple[Tensor, Tensor]:
        """T5Gemma's states of the padded prompt, and its mask."""
        text = self.pipeline.tokenizer(
            [prompt], return_tensors="pt", truncation=True, padding="max_length", max_length=self.max_tokens
        )
        ids, mask = (text[name].to(self.device).expand(rows, -1) for name in ("input_ids", "attention_mask"))
        return self.backbone["text_encoder"](ids, attention_mask=mask)[0], mask

    def _places(self, queries: int) -> Sequence[float]:
        """Memory tokens stand before the latents, of which several may make one query."""
        patch = self.denoiser.config.patch_size
        columns = self.latent_shape[-1]
        heard = len(self.times(columns, self.duration)) - 1
        return line_places(queries, columns // patch, math.ceil(heard / patch), self.denoiser.config.num_memory_tokens)


@hookimpl
def xattnmask_adapter() -> type[Adapter]:
    """The adapter of key ``stable-audio-3``."""
    return StableAudio3
