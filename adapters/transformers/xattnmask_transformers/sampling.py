"""Small helpers around transformers' ``generate``."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

from xattnmask.errors import NumericalError, SettingError


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the sampling on ``device`` inside, and leave the caller's random states as they were.

    transformers' decoders draw from Python's ``random`` for layer dropout, also in evaluation mode.
    """
    python, processor = random.getstate(), torch.get_rng_state()
    accelerator = None if device.type == "cpu" else torch.get_device_module(device)
    which = (device,) if device.type in ("cuda", "xpu") else ()  # the others have one device, and take no name
    state = accelerator.get_rng_state(*which) if accelerator else None
    try:
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch every accelerator
        if accelerator:
            with accelerator.device(device) if which else nullcontext():
                accelerator.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        torch.set_rng_state(processor)
        if accelerator:
            accelerator.set_rng_state(state, *which)


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
