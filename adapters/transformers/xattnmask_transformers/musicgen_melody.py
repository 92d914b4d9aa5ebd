"""MusicGen-melody: no cross-attention; the text stands before the audio in one sequence [chroma | text | audio].

Its sites are therefore the self-attentions, with the text's key columns and the audio's queries. It has no sites of
role ``self``: cutting an audio token's history there would cut the text as well, so only the context ``joint`` fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import transformers

from xattnmask.adapter import Adapter
from xattnmask.errors import MissingLibraryError
from xattnmask.plugins.hookspecs import hookimpl
from xattnmask.sites import Site

from .caches import self_offset
from .musicgen import MusicGen


class MusicGenMelody(MusicGen):
    """MusicGen-melody of transformers, without a melody: the chroma prefix is the model's own null."""

    key: ClassVar[str] = "musicgen-melody"
    model_class: ClassVar[Any] = transformers.MusicgenMelodyForConditionalGeneration

    def __init__(self, backbone: Any, tokenizer: Any, checkpoint: str) -> None:
        """As MusicGen's; raises MissingLibraryError on transformers 4, whose ``generate`` silently drops the text."""
        if int(transformers.__version__.split(".")[0]) < 5:
            raise MissingLibraryError("musicgen-melody needs transformers 5: pip install 'transformers>=5'")
        super().__init__(backbone, tokenizer, checkpoint)

    def sites(self, num_tokens: int) -> Sequence[Site]:
        start = self.backbone.config.chroma_length
        text, audio = slice(start, start + num_tokens), slice(start + num_tokens, None)
        layers = range(len(self.backbone.decoder.model.decoder.layers))
        path = "decoder.model.decoder.layers.{}.self_attn"
        prefix = [
            Site(path.format(i), i, "prefix", keys=text, queries=audio, offset=self_offset(i)) for i in layers
        ]
        return prefix + self._encoder_sites()

    def _decode(self, columns: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        prefix = torch.cat([self._chroma(text), text], dim=1)
        return super()._decode(columns, prefix)[:, prefix.shape[1]:]

    def _chroma(self, text: torch.Tensor) -> torch.Tensor:
        """The null melody in the decoder's width: the first of the chroma classes in every frame."""
        config = self.backbone.config
        chroma = text.new_zeros(len(text), config.chroma_length, config.num_chroma)
        chroma[..., 0] = 1
        project = getattr(self.backbone, "audio_enc_to_dec_proj", None)
        return chroma if project is None else project(chroma)


@hookimpl
def xattnmask_adapter() -> type[Adapter]:
    """The adapter of key ``musicgen-melody``."""
    return MusicGenMelody
