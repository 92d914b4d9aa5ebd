"""What plugins hand over besides adapters and methods: named checkpoints, judges and worlds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that has a name: which model key loads it, and from where."""

    model: str
    path: Path
    description: str


class Judge(ABC):
    """An audio classifier.

    Attributes:
        labels: names of the classes, in the order of the probabilities.
        multilabel: whether each label is there or not by itself; else the probabilities sum to one.
        takes_labels: whether the labels are the user's to name (a zero-shot classifier), as ``labels`` of :meth:`load`.
    """

    labels: Sequence[str]
    multilabel: bool = False
    takes_labels: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def load(cls, checkpoint: str | None = None, *, device: str = "cpu") -> Judge:
        """Load the judge's weights; ``checkpoint`` is a folder or hub id, None for the judge's own.

        One with ``takes_labels`` has a keyword ``labels``, a sequence of names, besides. Raises CheckpointError (or any
        OSError) when the checkpoint is missing, partial or corrupt.
        """

    @abstractmethod
    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Label probabilities float32 [labels] of ``audio`` [samples] or [channels, samples], resampled inside."""


@dataclass(frozen=True)
class Case:
    """A prompt to evaluate on, and what a world knows of it.

    Attributes:
        prompt: the text.
        seed: added to the seed of the generation; in a world, also what fixes its own sound.
        columns: what else is known of it, copied into the table, text by name.
        units: for a world, the words (by their index in the prompt) that mean something together, each word in one.
        source: the world's own description of the prompt, private to it.
    """

    prompt: str
    seed: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    units: tuple[tuple[int, ...], ...] | None = None
    source: Any = field(default=None, repr=False, compare=False)


class World(ABC):
    """A world in which it is known which words cause which part of a sound."""

    @abstractmethod
    def cases(self, count: int, *, split: str = "test", start: int = 0) -> Iterator[Case]:
        """``count`` of its captions, with their units; SettingError for a split that it does not have."""

    @abstractmethod
    def sound(self, case: Case) -> tuple[np.ndarray, int]:
        """What the caption sounds like: audio float32 [samples], and its samples a second."""

    @abstractmethod
    def truth(self, case: Case, times: np.ndarray) -> np.ndarray:
        """Which unit causes which frame: bool [frames, units]; ``times`` [frames + 1] are the frames' edges in seconds.

        Raises SettingError for frames that it cannot tell the truth of.
        """
