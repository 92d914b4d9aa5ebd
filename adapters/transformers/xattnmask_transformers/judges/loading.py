"""What the judges share: loading by folder or hub id, and long sounds cut into what a model takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from xattnmask.errors import CheckpointError, SettingError
from xattnmask.sound import mono, resample, windows

from ..loading import checked_config, quiet, to_device, whole_model


def load(kind: str, model_class: type, processor_class: type, checkpoint: str | None, device: str) -> tuple[Any, Any]:
    """The model (evaluation mode, float32, no gradients) and what prepares its inputs.

    Raises:
        SettingError: no checkpoint, or no such device.
        CheckpointError: missing, partial, corrupt, or of another class.
    """
    if checkpoint is None:
        raise SettingError(f"judge {kind!r} needs a checkpoint: a folder or a hub id")
    with quiet():
        checked_config(model_class, checkpoint)
        try:
            processor = processor_class.from_pretrained(checkpoint)  # type: ignore[attr-defined]
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"{checkpoint}: cannot read how its inputs are prepared: {reason}") from error
        model = whole_model(model_class, checkpoint)
    return to_device(model.eval().requires_grad_(False), device), processor


def mean_over_windows(
    audio: np.ndarray, sample_rate: int, wanted: int, seconds: float, judge: Callable[[np.ndarray], torch.Tensor]
) -> np.ndarray:
    """Probabilities [labels] of a sound: the mean over windows of ``seconds`` that cover it, at rate ``wanted``."""
    sound = resample(mono(audio), sample_rate, wanted)
    with torch.no_grad():
        found = [judge(window) for window in windows(sound, round(seconds * wanted))]
    mean: np.ndarray = torch.stack(found).float().mean(0).cpu().numpy()
    return mean
