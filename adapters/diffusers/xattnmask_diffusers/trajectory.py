"""What the denoiser was given at each of its calls while a pipeline generated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from xattnmask.errors import NumericalError

Replace = Callable[[int, Mapping[str, Any]], Mapping[str, Tensor]]
"""From a number of rows, and the inputs they have, to new values of those that carry the text, by keyword."""


class Enough(Exception):
    """Raised in place of the denoiser's first call, when what it would be given is all that is wanted."""


class Recorder:
    """A forward pre-hook of the denoiser that records its inputs, and may replace those that carry the text.

    Only what belongs to one waveform is kept, on the CPU: the noisy latents of each call, [1, ...], and its timestep.
    What the denoiser gets besides is kept from the first call, apart for the two branches of guidance.

    Args:
        guided: whether the rows are [unconditional, conditional].
        waveform: which waveform of those made together is kept.
        on_call: told the number of each call, from 0, before anything else.
        replace: gives the conditional rows' text inputs anew at each call; None to leave them.
        inputs_only: raise :class:`Enough` at the first call, before the denoiser runs.
    """

    def __init__(self, *, guided: bool, waveform: int = 0, on_call: Callable[[int], None] = lambda _: None,
                 replace: Replace | None = None, inputs_only: bool = False):
        self.guided, self.waveform, self.on_call, self.replace = guided, waveform, on_call, replace
        self.inputs_only = inputs_only
        self.latents: list[Tensor] = []
        self.timesteps: list[float] = []
        self.conditional: dict[str, Any] = {}
        self.unconditional: dict[str, Any] = {}

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.on_call(len(self.latents))
        sample, timestep = args[0], args[1]
        if not torch.isfinite(sample).all():
            raise NumericalError(f"the latents hold NaN or infinity at denoising step {len(self.latents)}")
        half = len(sample) // 2 if self.guided else 0
        if not self.latents:
            self.conditional = {name: _row(value, half + self.waveform, len(sample)) for name, value in kwargs.items()}
            self.unconditional = {name: _row(value, self.waveform, len(sample)) for name, value in kwargs.items()}
        self.latents.append(sample[half + self.waveform : half + self.waveform + 1].detach().cpu())
        self.timesteps.append(float(torch.as_tensor(timestep).flatten()[0]))
        if self.inputs_only:
            raise Enough
        if self.replace is None:
            return None
        new = self.replace(len(sample) - half, self.conditional)
        return args, kwargs | {name: torch.cat([_as_long(kwargs[name][:half], value), value])
                               for name, value in new.items()}


def _row(value: Any, row: int, rows: int) -> Any:
    """One row of a batched tensor, on the CPU; anything else as it is."""
    if isinstance(value, Tensor):
        return (value[row : row + 1] if value.ndim and len(value) == rows else value).detach().cpu()
    return value


def _as_long(unconditional: Tensor, conditional: Tensor) -> Tensor:
    """The keys of the unconditional rows, repeated where those of the conditional ones hold several texts."""
    if unconditional.ndim < 2 or unconditional.shape[1] == conditional.shape[1]:
        return unconditional
    copies = conditional.shape[1] // unconditional.shape[1]
    return unconditional.repeat(1, copies, *[1] * (unconditional.ndim - 2))
