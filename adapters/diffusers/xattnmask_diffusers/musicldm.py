"""MusicLDM: as AudioLDM, with a whole CLAP model. Its pipeline is deprecated too; its own encoding of text fails on
transformers 5, so it is always handed embeddings."""

from __future__ import annotations

from typing import Any, ClassVar

from diffusers import MusicLDMPipeline
from torch import Tensor

from xattnmask.adapter import Adapter
from xattnmask.plugins.hookspecs import hookimpl

from . import clap
from .audioldm import AudioLDM


class MusicLDM(AudioLDM):
    """MusicLDM of diffusers; ``generate`` takes the settings of :class:`DenoisingSettings` besides the common ones."""

    key: ClassVar[str] = "musicldm"
    pipeline_class: ClassVar[Any] = MusicLDMPipeline
    default_steps: int = 200

    def _features(self, inputs: dict[str, Tensor]) -> Tensor:
        return clap.text_features(self.backbone["text_encoder"], inputs)


@hookimpl
def xattnmask_adapter() -> type[Adapter]:
    """The adapter of key ``musicldm``."""
    return MusicLDM
