"""Small helpers around transformers' ``generate``."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

from xattnmask.errors import NumericalError


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the sampling on ``device`` inside, and leave the caller's random states as they were.

    transformers' decoders draw from Python's ``random`` for layer dropout, also in evaluation mode.
    """
    state = random.getstate()
    accelerator = None if device.type == "cpu" else torch.get_device_module(device)
    devices = [] if accelerator is None else [accelerator.current_device() if device.index is None else device.index]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch every accelerator
        if accelerator is not None:
            with accelerator.device(devices[0]):
                accelerator.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(state)


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
