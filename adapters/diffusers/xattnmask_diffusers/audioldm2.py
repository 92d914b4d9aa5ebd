"""AudioLDM2: the denoiser reads two texts, T5's states and eight states that GPT-2 makes of T5's and CLAP's.

A word therefore has three ways to the audio, each a stream: ``t5``, its tokens in the UNet; ``gpt2``, the same tokens
in GPT-2's input; ``clap``, CLAP's vector there, which carries all words, and is masked in CLAP's text encoder.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from diffusers import AudioLDM2Pipeline
from torch import Tensor

from xattnmask.adapter import Adapter
from xattnmask.errors import CheckpointError
from xattnmask.plugins.hookspecs import hookimpl
from xattnmask.sites import Role, Site
from xattnmask.text import Token

from . import clap
from .spectrogram import SpectrogramAdapter
from .tokens import alignment, limit, tokenize

BEFORE_TEXT = 4
"""GPT-2 reads [start, CLAP, end, start, T5's tokens, end]."""


_INPUTS = ("encoder_hidden_states", "encoder_hidden_states_1", "encoder_attention_mask_1")
_ARGUMENTS = ("generated_prompt_embeds", "prompt_embeds", "attention_mask")
"""What the denoiser and the pipeline call GPT-2's states, T5's, and the mask of T5's."""


class AudioLDM2(SpectrogramAdapter):
    """AudioLDM2 of diffusers, for sound and music; ``generate`` takes the settings of :class:`DenoisingSettings`."""

    key: ClassVar[str] = "audioldm2"
    pipeline_class: ClassVar[Any] = AudioLDM2Pipeline
    default_steps: int = 200
    encodes_apart: ClassVar[bool] = True

    def __init__(self, pipeline: Any, checkpoint: str) -> None:
        """Wrap a loaded pipeline; raises CheckpointError for the text-to-speech variant, which has no T5."""
        super().__init__(pipeline, checkpoint)
        if self._t5.config.model_type != "t5":
            raise CheckpointError(f"{checkpoint}: its second text encoder is {self._t5.config.model_type}, not T5")
        positions = self.backbone["language_model"].config.n_positions
        made = self.backbone["language_model"].config.max_new_tokens or 8
        self.max_tokens = limit(pipeline.tokenizer_2, positions - BEFORE_TEXT - 1 - made)
        self._standins: tuple[list[int], list[int]] = ([], [])

    @property
    def _t5(self) -> Any:
        return self.backbone["text_encoder_2"]

    def tokenize(self, prompt: str) -> tuple[Token, ...]:
        return tokenize(self.pipeline.tokenizer_2, prompt)

    def sites(self, num_tokens: int) -> Sequence[Site]:
        """The UNet attends GPT-2's states as it does T5's, but they stand for no words: GPT-2's input is masked."""
        last = self._kinds() - 1
        return [
            *self._unet_sites(last, "cross", "t5"), *self._unet_sites(last - 1, "summary", "gpt2"),
            *self._gpt2_sites(num_tokens), *self._clap_sites(), *self._t5_sites(),
        ]  # fmt: skip

    def encode_text(self, prompt: str, rows: int, given: Mapping[str, Any]) -> dict[str, Tensor]:
        self._standins = alignment(self.tokenize(prompt), tokenize(self.pipeline.tokenizer, prompt))
        return self._both_texts(prompt, rows)

    def pipeline_text(self, prompt: str, negative: str | None, num_tokens: int, guided: bool) -> dict[str, Any]:
        text = _named(self.encode_text(prompt, 1, {}))
        if guided:  # padded, or cut, to the prompt's tokens, as diffusers does
            with self.encoding_negative():
                cut = {"padding": "max_length", "max_length": num_tokens, "truncation": True}
                other = self._both_texts(negative or "", 1, **cut)
            text |= {f"negative_{name}": value for name, value in _named(other).items()}
        return text

    def _both_texts(self, prompt: str, rows: int, **tokenizing: Any) -> dict[str, Tensor]:
        """T5's states and their mask, and GPT-2's states, as the denoiser takes them."""
        text = self.pipeline.tokenizer_2([prompt], return_tensors="pt", **tokenizing)
        ids, mask = (text[name].to(self.device).expand(rows, -1) for name in ("input_ids", "attention_mask"))
        states = self._t5(input_ids=ids, attention_mask=mask)[0]
        inputs = clap.ids(self.pipeline.tokenizer, prompt, rows, self.device)
        pooled = clap.text_features(self.backbone["text_encoder"], inputs)[:, None]
        projected = self.backbone["projection_model"](
            hidden_states=pooled, hidden_states_1=states, attention_mask=mask.new_ones(rows, 1), attention_mask_1=mask
        )
        with warnings.catch_warnings():  # diffusers names what it keeps as transformers no longer likes it named
            warnings.filterwarnings("ignore", message=".*past_key_values.*deprecated", category=FutureWarning)
            generated = self.pipeline.generate_language_model(
                projected.hidden_states, attention_mask=projected.attention_mask, max_new_tokens=None
            )
        return dict(zip(_INPUTS, (generated, states, mask), strict=True))

    def _unet_sites(self, kind: int, role: Role, stream: str) -> list[Site]:
        """The cross-attentions on one of the texts: those of one kind of the transformers after each residual block."""
        kinds = self._kinds()
        found = []
        for path, module in self.backbone.named_modules():
            if type(module).__name__ == "Transformer2DModel" and int(path.rpartition(".")[2]) % kinds == kind:
                found += [f"{path}.transformer_blocks.{k}.attn2" for k in range(len(module.transformer_blocks))]
        return [Site(path, i, role, stream, places=self.places, plane=self.plane) for i, path in enumerate(found)]

    def _kinds(self) -> int:
        """How many transformers follow each residual block: one for each text, and one of self-attention."""
        dims = self.backbone["unet"].config.cross_attention_dim
        first = dims[0] if isinstance(dims, (list, tuple)) else dims
        if not isinstance(first, (list, tuple)) or len(first) < 3:
            raise CheckpointError(f"{self.checkpoint}: its UNet reads one text only, cross_attention_dim {dims}")
        return len(first)

    def _gpt2_sites(self, num_tokens: int) -> list[Site]:
        keys = slice(BEFORE_TEXT, BEFORE_TEXT + num_tokens)
        layers = range(len(self.backbone["language_model"].transformer.h))
        return [Site(f"language_model.transformer.h.{i}.attn", i, "text-encoder", "gpt2", keys=keys) for i in layers]

    def _clap_sites(self) -> list[Site]:
        return clap.sites(self.backbone["text_encoder"], lambda: self._standins)

    def _t5_sites(self) -> list[Site]:
        blocks = range(len(self._t5.encoder.block))
        path = "text_encoder_2.encoder.block.{}.layer.0.SelfAttention"
        return [Site(path.format(i), i, "text-encoder", "t5") for i in blocks]


def _named(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The denoiser's text inputs under the names that the pipeline takes them by."""
    return {argument: inputs[name] for argument, name in zip(_ARGUMENTS, _INPUTS, strict=True)}


@hookimpl
def xattnmask_adapter() -> type[Adapter]:
    """The adapter of key ``audioldm2``."""
    return AudioLDM2
