"""Stable Audio Open: a transformer over the latents of a waveform, which reads T5's states by cross-attention.

Its keys are the prompt's tokens, padding (zeros that still take a share of the softmax), and two for start and end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import StableAudioPipeline
from torch import Tensor

from xattnmask.adapter import Adapter
from xattnmask.plugins.hookspecs import hookimpl
from xattnmask.sites import Site
from xattnmask.text import Token

from .latents import line_places, padded
from .pipeline import PipelineAdapter
from .tokens import limit, tokenize

GLOBAL_QUERIES = 1
"""The transformer puts one token, which stands for the whole clip, before the latents' columns."""


class StableAudio(PipelineAdapter):
    """Stable Audio of diffusers; ``generate`` takes the settings of :class:`DenoisingSettings` besides the common ones.

    The latents always have the length of the longest audio; columns after ``duration`` are made and not heard.
    """

    key: ClassVar[str] = "stable-audio"
    pipeline_class: ClassVar[Any] = StableAudioPipeline
    denoiser_name: ClassVar[str] = "transformer"
    encodes_apart: ClassVar[bool] = True
    default_steps: int = 100

    def __init__(self, pipeline: Any, checkpoint: str) -> None:
        super().__init__(pipeline, checkpoint)
        self.columns = int(pipeline.transformer.config.sample_size)
        self.column = pipeline.vae.hop_length / pipeline.vae.config.sampling_rate
        self.max_duration = self.columns * self.column
        self.max_tokens = limit(pipeline.tokenizer, 512)
        self.channels = int(pipeline.vae.config.audio_channels)

    @property
    def sample_rate(self) -> int:
        return int(self.pipeline.vae.config.sampling_rate)

    def tokenize(self, prompt: str) -> tuple[Token, ...]:
        return tokenize(self.pipeline.tokenizer, prompt)

    def sites(self, num_tokens: int) -> Sequence[Site]:
        tokens = slice(0, num_tokens)
        layers = range(len(self.denoiser.transformer_blocks))
        cross = [
            Site(f"transformer.transformer_blocks.{i}.attn2", i, "cross", "t5", keys=tokens, places=self._places)
            for i in layers
        ]
        blocks = range(len(self.backbone["text_encoder"].encoder.block))
        path = "text_encoder.encoder.block.{}.layer.0.SelfAttention"
        return cross + [Site(path.format(i), i, "text-encoder", "t5", keys=tokens) for i in blocks]

    def encode_text(self, prompt: str, rows: int, given: Mapping[str, Any]) -> dict[str, Tensor]:
        """T5's states, projected, zero where there is padding; then the keys of start and end that were given."""
        states, mask = self._states(prompt, rows)
        projected = self.backbone["projection_model"](text_hidden_states=states).text_hidden_states
        projected = projected * mask.unsqueeze(-1).to(projected.dtype)
        seconds = given["encoder_hidden_states"][:1, -2:].to(projected)
        return {"encoder_hidden_states": torch.cat([projected, seconds.expand(rows, -1, -1)], dim=1)}

    def pipeline_text(self, prompt: str, negative: str | None, num_tokens: int, guided: bool) -> dict[str, Any]:
        states, mask = self._states(prompt, 1)
        text = {"prompt_embeds": states, "attention_mask": mask}
        if guided and negative is not None:
            with self.encoding_negative():
                states, mask = self._states(negative, 1)
            states = torch.where(mask.bool()[..., None], states, 0.0)
            text |= {"negative_prompt_embeds": states, "negative_attention_mask": mask}
        return text

    def duration_arguments(self, duration: float) -> dict[str, Any]:
        return {"audio_end_in_s": duration}

    def encode_sound(self, rows: np.ndarray, columns: int) -> Tensor:
        vae = self.backbone["vae"]
        samples = padded(rows, columns * vae.hop_length)
        latents: Tensor = vae.encode(samples.to(self.device, vae.dtype)).latent_dist.mode()
        return latents

    def _states(self, prompt: str, rows: int) -> tuple[Tensor, Tensor]:
        """T5's states of the padded prompt, and its mask."""
        text = self.pipeline.tokenizer([prompt], return_tensors="pt", truncation=True, padding="max_length")
        ids, mask = (text[name].to(self.device).expand(rows, -1) for name in ("input_ids", "attention_mask"))
        return self.backbone["text_encoder"](ids, attention_mask=mask)[0], mask

    def _places(self, queries: int) -> Sequence[float]:
        heard = len(self.times(self.columns, self.duration)) - 1
        return line_places(queries, self.columns, heard, GLOBAL_QUERIES)


@hookimpl
def xattnmask_adapter() -> type[Adapter]:
    """The adapter of key ``stable-audio``."""
    return StableAudio
