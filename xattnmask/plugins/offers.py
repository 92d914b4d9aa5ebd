"""What plugins hand over besides adapters and methods: named checkpoints and judges."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

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
    """

    labels: ClassVar[Sequence[str]]

    @classmethod
    @abstractmethod
    def load(cls, checkpoint: str | None = None, *, device: str = "cpu") -> Judge:
        """Load the judge's weights; ``checkpoint`` is a folder or hub id, None for the judge's own."""

    @abstractmethod
    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Label probabilities float32 [labels] of ``audio`` [samples] or [channels, samples], resampled inside."""
