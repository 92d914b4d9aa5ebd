"""Watches audiocraft generate: which rows hold the prompt right now, and whether the numbers are still sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from xattnmask.errors import NumericalError

from .conditions import DESCRIPTION


class Watch:
    """Hooks on a language model and its text encoder, for as long as a generation takes.

    Guidance stacks [prompt, nothing] in one call, or makes two calls, one after the other; either way audiocraft's own
    masks say which rows have a prompt.
    """

    def __init__(self, model: Any, text_encoder: Any) -> None:
        self.model, self.text_encoder = model, text_encoder
        self._rows: slice | None = None

    def rows(self, batch: int) -> slice:
        """The conditional rows of the call under way; all where nothing is being generated."""
        return slice(0, batch) if self._rows is None else self._rows

    @contextmanager
    def generating(self) -> Iterator[None]:
        """Watch while open; raises NumericalError at the first step whose logits are not finite."""
        hooks = [
            self.text_encoder.register_forward_pre_hook(self._before_text, with_kwargs=True),
            self.model.register_forward_pre_hook(self._before_step, with_kwargs=True),
            self.model.register_forward_hook(self._after_step),
        ]
        try:
            yield
        finally:
            self._rows = None
            for hook in hooks:
                hook.remove()

    def _before_text(self, _: Any, __: Any, arguments: Mapping[str, Any]) -> None:
        self._rows = _with_prompt(arguments["attention_mask"])

    def _before_step(self, _: Any, __: Any, arguments: Mapping[str, Any]) -> None:
        self._rows = _with_prompt(arguments["condition_tensors"][DESCRIPTION][1])

    def _after_step(self, _: Any, __: Any, logits: torch.Tensor) -> None:
        if not torch.isfinite(logits).all():
            step = position(self.model) - 1
            raise NumericalError(f"the model produced NaN or infinity at generation step {step}")


def position(model: Any) -> int:
    """Position of the next column of codes while a language model streams; 0 where it does not."""
    offsets = model.transformer._streaming_state.get("offsets")
    return 0 if offsets is None else int(offsets[0])


def _with_prompt(mask: torch.Tensor) -> slice:
    """Rows of a mask [rows, tokens] that hold any token; they come first."""
    return slice(0, int(mask.any(1).sum()))
