"""AudioLDM: the prompt reaches the denoiser as one vector of CLAP, so words are masked inside CLAP's text encoder.

No module attends to the prompt's words: the UNet's ``attn2`` is self-attention whatever its name says. The pipeline is
among diffusers' deprecated ones, and runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from diffusers import AudioLDMPipeline
from torch import Tensor
from torch.nn.functional import normalize

from xattnmask.adapter import Adapter
from xattnmask.plugins.hookspecs import hookimpl
from xattnmask.sites import Site
from xattnmask.text import Token

from . import clap
from .spectrogram import SpectrogramAdapter
from .tokens import limit, tokenize


class AudioLDM(SpectrogramAdapter):
    """AudioLDM of diffusers; ``generate`` takes the settings of :class:`DenoisingSettings` besides the common ones."""

    key: ClassVar[str] = "audioldm"
    pipeline_class: ClassVar[Any] = AudioLDMPipeline
    default_steps: int = 10

    def __init__(self, pipeline: Any, checkpoint: str) -> None:
        super().__init__(pipeline, checkpoint)
        most = self._text_model.config.max_position_embeddings - 2  # RoBERTa counts positions from 2
        self.max_tokens = limit(pipeline.tokenizer, most)
        self._worded: list[int] = []

    @property
    def _text_model(self) -> Any:
        return self.backbone["text_encoder"].text_model

    def tokenize(self, prompt: str) -> tuple[Token, ...]:
        return tokenize(self.pipeline.tokenizer, prompt)

    def sites(self, num_tokens: int) -> Sequence[Site]:
        """CLAP's; its start and end stay in: a mask that is the same for all keys would change nothing there."""
        return clap.sites(self.backbone["text_encoder"], lambda: (self._worded, self._worded))

    def encode_text(self, prompt: str, rows: int, given: Mapping[str, Any]) -> dict[str, Tensor]:
        self._worded = [index for index, token in enumerate(self.tokenize(prompt)) if not token.special]
        return {"class_labels": self._features(clap.ids(self.pipeline.tokenizer, prompt, rows, self.device))}

    def pipeline_text(self, prompt: str, negative: str | None, num_tokens: int, guided: bool) -> dict[str, Any]:
        text = {"prompt_embeds": self.encode_text(prompt, 1, {})["class_labels"]}
        if guided:
            with self.encoding_negative():
                text["negative_prompt_embeds"] = self.encode_text(negative or "", 1, {})["class_labels"]
        return text

    def _features(self, inputs: dict[str, Tensor]) -> Tensor:
        """CLAP's vector of the text, of length 1, [rows, width]."""
        return normalize(self.backbone["text_encoder"](**inputs).text_embeds, dim=-1)


@hookimpl
def xattnmask_adapter() -> type[Adapter]:
    """The adapter of key ``audioldm``."""
    return AudioLDM
