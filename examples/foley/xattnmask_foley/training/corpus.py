"""Captions and clips to train on and to test on; the seeds of the two never meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..world import Caption, activity, render, sample_caption

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Splits: each is a stream of seeds of its own."""
FRAMES = 100
"""Frames of a clip: 25 a second."""
BABBLE = 0.12


@dataclass(frozen=True)
class Clip:
    """One caption, rendered: audio float32 [64,000] and activity bool [frames, sources]."""

    caption: Caption
    seed: int
    audio: np.ndarray
    activity: np.ndarray


def captions(
    split: int, count: int, arrangement: str | None = "any", *, start: int = 0, babble: float = BABBLE
) -> Iterator[tuple[Caption, int]]:
    """``count`` captions of a split, each with the seed of its rendering."""
    for index in range(start, start + count):
        rng = np.random.default_rng([split, index])
        yield sample_caption(rng, arrangement, babble=babble), split * 10_000_000 + index


def clips(split: int, count: int, arrangement: str | None = "any", *, start: int = 0) -> Iterator[Clip]:
    """The rendered clips of :func:`captions`."""
    for caption, seed in captions(split, count, arrangement, start=start):
        yield Clip(caption, seed, render(caption, seed), activity(caption, seed, FRAMES))


def shares(said: Sequence[Caption], mix: Mapping[str | None, float]) -> np.ndarray:
    """How often to draw each caption, float64 [captions] with sum 1, so that arrangements come as ``mix`` has it."""
    arrangements = [caption.arrangement for caption in said]
    often = np.array([mix[arrangement] / arrangements.count(arrangement) for arrangement in arrangements])
    return often / often.sum()


def audio_pool(split: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """``count`` clips as arrays: audio float32 [count, samples], activity bool [count, frames, sources]."""
    made = list(clips(split, count))
    return np.stack([clip.audio for clip in made]), np.stack([clip.activity for clip in made])
