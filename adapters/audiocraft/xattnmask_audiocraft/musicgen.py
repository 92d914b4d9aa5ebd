"""MusicGen of audiocraft: the same class of language model as AudioGen, under a key of its own.

``musicgen`` without a suffix is MusicGen of transformers.
"""

from __future__ import annotations

from typing import ClassVar

from xattnmask.adapter import Adapter
from xattnmask.plugins.hookspecs import hookimpl

from .audiogen import AudioGen


class MusicGen(AudioGen):
    """MusicGen of audiocraft, mono and stereo; not the melody model, whose text is no cross-attention."""

    key: ClassVar[str] = "musicgen-audiocraft"


@hookimpl
def xattnmask_adapter() -> type[Adapter]:
    """The adapter of key ``musicgen-audiocraft``."""
    return MusicGen
