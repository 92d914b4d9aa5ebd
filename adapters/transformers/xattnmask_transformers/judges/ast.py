"""The Audio Spectrogram Transformer as a judge (Gong et al., 2021; ``MIT/ast-finetuned-audioset-10-10-0.4593``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import ASTFeatureExtractor, ASTForAudioClassification

from xattnmask import Judge, hookimpl

from .loading import load, mean_over_windows

_HOP = 0.01  # seconds between the frames of its spectrogram


class AST(Judge):
    """AST's classes; their softmax, or sigmoids where the checkpoint says that it is for several labels at a time."""

    def __init__(self, model: Any, extractor: Any) -> None:
        self.model, self.extractor = model, extractor
        self.labels = tuple(model.config.id2label[index] for index in range(model.config.num_labels))
        self.multilabel = model.config.problem_type == "multi_label_classification"

    @classmethod
    def load(cls, checkpoint: str | None = None, *, device: str = "cpu") -> AST:
        """Load a folder or a hub id."""
        return cls(*load("ast", ASTForAudioClassification, ASTFeatureExtractor, checkpoint, device))

    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Probability of each class, float32 [labels]; of a long sound the mean over windows."""
        seconds = self.model.config.max_length * _HOP
        return mean_over_windows(audio, sample_rate, self.extractor.sampling_rate, seconds, self._probabilities)

    def _probabilities(self, window: np.ndarray) -> torch.Tensor:
        inputs = self.extractor(window, sampling_rate=self.extractor.sampling_rate, return_tensors="pt")
        logits: torch.Tensor = self.model(inputs["input_values"].to(self.model.device)).logits[0]
        return logits.sigmoid() if self.multilabel else logits.softmax(-1)


@hookimpl
def xattnmask_judge() -> type[Judge]:
    """AST."""
    return AST
