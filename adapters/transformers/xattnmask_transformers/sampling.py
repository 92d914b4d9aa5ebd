"""Small helpers around transformers' ``generate``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

from xattnmask.errors import NumericalError, SettingError


@dataclass(frozen=True)
class Sampling:
    """How codes are drawn: ``temperature`` above 0, ``top_k`` (0 for no limit), ``do_sample`` (False for greedy)."""

    temperature: float = 1.0
    top_k: int = 250
    do_sample: bool = True

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Sampling:
        """From the settings a user gave; raises SettingError if one is unknown or out of range."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(settings) - set(known)):
            raise SettingError(f"unknown settings {', '.join(unknown)}: this model takes {', '.join(known)}")
        sampling = cls(**settings)
        if not 0 < sampling.temperature < float("inf"):
            raise SettingError(f"temperature must be above 0, not {sampling.temperature}")
        if sampling.top_k < 0 or sampling.top_k != int(sampling.top_k):
            raise SettingError(f"top_k must be a whole number, 0 or more, not {sampling.top_k}")
        return sampling

    def arguments(self) -> dict[str, Any]:
        """For ``generate``; the checkpoint's own defaults must not leak in."""
        if not self.do_sample:
            return {"do_sample": False, "num_beams": 1}
        return {**asdict(self), "num_beams": 1, "top_p": 1.0}


class Recorder(StoppingCriteria):
    """Never stops; keeps the generated columns, because ``generate`` returns audio only."""

    columns: torch.Tensor

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self.columns = input_ids
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


class FiniteLogits(LogitsProcessor):
    """Raises NumericalError as soon as a logit is NaN or infinite, and names the step."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not torch.isfinite(scores).all():
            raise NumericalError(f"the model produced NaN or infinity at generation step {input_ids.shape[1] - 1}")
        return scores
