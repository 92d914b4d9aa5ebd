"""The page on which people rate the words of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...sound import Sound, data_uri

SCRIPTS = ("rating.js",)
SCALE = ("not at all", "a little", "somewhat", "clearly", "it is all about it")
"""What the ratings from 0 to 4 mean."""


@dataclass(frozen=True)
class Clip:
    """A sound to be rated: float32 [samples] or [channels, samples], and the words of its prompt."""

    prompt: str
    words: tuple[str, ...]
    audio: Sound
    sample_rate: int


def rating_data(clips: Sequence[Clip], study: str) -> dict[str, Any]:
    """Everything the template ``rating.html`` and its script need."""
    return {"study": study, "scale": list(SCALE), "clips": [
        {"prompt": clip.prompt, "words": list(clip.words), "sound": data_uri(clip.audio, clip.sample_rate)}
        for clip in clips]}
