"""CLAP as a zero-shot judge (Wu et al., 2023; ``laion/clap-htsat-unfused``): the labels are the user's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import ClapModel, ClapProcessor

from xattnmask import Judge, hookimpl

from .loading import load, mean_over_windows

TEMPLATE = "This is a sound of {}."
"""How a label is put to the model: as in the pipeline ``zero-shot-audio-classification`` of transformers."""


class CLAP(Judge):
    """How near a sound is to each label among all of them: the softmax over CLAP's similarities."""

    takes_labels: ClassVar[bool] = True

    def __init__(self, model: Any, processor: Any, labels: Sequence[str]) -> None:
        self.model, self.labels = model, tuple(labels)
        self.extractor = processor.feature_extractor
        text = processor.tokenizer([TEMPLATE.format(label) for label in labels], return_tensors="pt", padding=True)
        self._text = {name: value.to(model.device) for name, value in text.items()}

    @classmethod
    def load(cls, checkpoint: str | None = None, *, device: str = "cpu", labels: Sequence[str] = ()) -> CLAP:
        """Load a folder or a hub id, to tell ``labels`` apart."""
        return cls(*load("clap", ClapModel, ClapProcessor, checkpoint, device), labels)

    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Probability of each label, float32 [labels]; of a long sound the mean over windows.

        In windows that the extractor takes whole: of longer sounds it would draw a part at random.
        """
        seconds = self.extractor.nb_max_samples / self.extractor.sampling_rate
        return mean_over_windows(audio, sample_rate, self.extractor.sampling_rate, seconds, self._probabilities)

    def _probabilities(self, window: np.ndarray) -> torch.Tensor:
        sound = self.extractor(window, sampling_rate=self.extractor.sampling_rate, return_tensors="pt")
        inputs = {name: value.to(self.model.device) for name, value in sound.items()}
        return torch.softmax(self.model(**self._text, **inputs).logits_per_audio[0], -1)


@hookimpl
def xattnmask_judge() -> type[Judge]:
    """CLAP."""
    return CLAP
