"""Comparing arrays, and recording what a model computes on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..adapter import Adapter
from ..patching import AttentionCall, Intervention, intercept, reading_sites
from ..sites import Site

EXACT = 1e-3
"""The largest difference, as a share of the largest value, that counts as none: rounding in float32 stays far below."""


def difference(found: Tensor | np.ndarray, expected: Tensor | np.ndarray) -> float:
    """The largest difference as a share of the largest expected value; infinite for other shapes or NaN."""
    found, expected = (torch.as_tensor(values).detach().double().cpu() for values in (found, expected))
    if found.shape != expected.shape or not (found.isfinite().all() and expected.isfinite().all()):
        return float("inf")
    if not found.numel():
        return 0.0
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


def same(found: Tensor | np.ndarray, expected: Tensor | np.ndarray, share: float = EXACT) -> bool:
    """Whether they differ by rounding at most."""
    return difference(found, expected) <= share


def readers(model: Adapter, num_tokens: int) -> list[Site]:
    """The sites that a mask acts on by default: where words reach the audio."""
    return reading_sites(model.sites(num_tokens))


class FirstCalls:
    """An intervention that changes nothing and keeps, of each site's first call, the result and conditional rows."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[Tensor, slice]] = {}

    def __call__(self, call: AttentionCall) -> Tensor:
        result = call.run()
        self.found.setdefault(call.site.path, (result.detach().clone(), call.rows))
        return result


class ByPosition:
    """An intervention that changes nothing and keeps what each position's query gave, of the conditional rows.

    ``found`` maps a site's path to results by position, each [rows, heads, width]; a later call for a position
    overwrites an earlier one.
    """

    def __init__(self) -> None:
        self.found: dict[str, dict[int, Tensor]] = {}

    def __call__(self, call: AttentionCall) -> Tensor:
        result = call.run()
        kept = self.found.setdefault(call.site.path, {})
        if call.num_rows:
            for query in range(*call.query_span()):
                kept[call.offset + query] = result[call.rows, :, query].detach().clone()
        return result


@contextmanager
def watching(model: Adapter, sites: Sequence[Site], intervention: Intervention) -> Iterator[None]:
    """While open, ``intervention`` sees the attention calls of ``sites``; they need not all run."""
    pairs = [(site, intervention) for site in sites]
    with intercept(model.backbone, pairs, model.conditional_rows, strict=False):
        yield


def last_module(model: Adapter, run: Callable[[], Any]) -> nn.Module | None:
    """The last of the backbone's innermost modules that ``run`` calls and that gives something but zeros.

    A branch whose weights are still zero, as some networks start their last one, tells nothing of what came before.
    """
    seen: list[nn.Module] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if not isinstance(output, Tensor) or output.any():
            seen.append(module)

    innermost = [module for module in model.backbone.modules() if not any(module.children())]
    handles = [module.register_forward_hook(note) for module in innermost]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return seen[-1] if seen else None


@contextmanager
def outputs_of(module: nn.Module, note: Callable[[Tensor], Any]) -> Iterator[None]:
    """While open, ``note`` is given the module's outputs."""
    handle = module.register_forward_hook(lambda _, __, output: note(first_tensor(output).detach()))
    try:
        yield
    finally:
        handle.remove()


def first_tensor(output: Any) -> Tensor:
    """The first tensor of a module's output."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, dict) else output
    return next(value for value in values if isinstance(value, Tensor))
