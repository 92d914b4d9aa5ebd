"""Interventions that look at attention and change nothing: probabilities for a callback, or for a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..sites import Site
from .call import AttentionCall, SdpaCall, SoftmaxCall
from .interventions import conditional_rows, with_rows


class CaptureProbabilities:
    """Hands the attention on the prompt's tokens to ``callback(site, probabilities)``; changes and keeps nothing.

    probabilities: detached float32 [n, H, T, L], conditional rows, the site's queries and the prompt's key columns
    only, before any mask of a patch entered earlier. Called once per attention call that has such rows and queries.
    """

    def __init__(self, callback: Callable[[Site, Tensor], None]) -> None:
        self.callback = callback

    def __call__(self, call: AttentionCall) -> Tensor:
        result = call.run()
        first, last = call.query_span()
        if call.num_rows and first < last:
            probabilities = self._probabilities(call, result)[:, :, first:last, call.columns()]
            self.callback(call.site, probabilities.float().clone())
        return result

    @staticmethod
    @torch.no_grad()
    def _probabilities(call: AttentionCall, result: Tensor) -> Tensor:
        if isinstance(call, SdpaCall):
            part = call.part(call.rows.start, call.rows.stop)
            with torch._C.DisableTorchFunction():  # or an outer patch would count this softmax as attention
                return part.softmax(part.logits())
        return result.detach()[call.rows]


@dataclass(frozen=True)
class Traced:
    """The attention probabilities of one call, as a node of the graph that leads to the model's output.

    Attributes:
        site: the site that made the call.
        probabilities: float32 [n, H, Q, K] of the conditional rows, over all queries and keys of the call; gradients
            are taken with respect to it.
        queries: which of the queries the site wants looked at.
        columns: the key columns of the prompt's tokens.
    """

    site: Site
    probabilities: Tensor
    queries: slice
    columns: slice | list[int]

    def on_tokens(self, tensor: Tensor) -> Tensor:
        """What a tensor like ``probabilities`` (its gradient) holds of the site's queries and the prompt's tokens,
        detached, [n, H, T, L]."""
        return tensor.detach()[:, :, self.queries][..., self.columns]


class TraceProbabilities:
    """Hands the attention of the conditional rows to ``callback`` (see :class:`Traced`) and computes with it.

    Changes nothing but the kernel; unlike :class:`CaptureProbabilities` it lets gradients be taken with respect to the
    probabilities, also where no weight and no input wants a gradient.
    """

    def __init__(self, callback: Callable[[Traced], None]) -> None:
        self.callback = callback

    def __call__(self, call: AttentionCall) -> Tensor:
        first, last = call.query_span()
        if not call.num_rows or first == last:
            return call.run()
        if isinstance(call, SoftmaxCall):
            probabilities = call.run()
            return with_rows(probabilities, call.rows, self._trace(call, probabilities[call.rows]))
        assert isinstance(call, SdpaCall)
        return conditional_rows(call, lambda part: part.attend(self._trace(part, part.softmax(part.logits()))))

    def _trace(self, call: AttentionCall, probabilities: Tensor) -> Tensor:
        if not probabilities.requires_grad:
            probabilities.requires_grad_()
        self.callback(Traced(call.site, probabilities, slice(*call.query_span()), call.columns()))
        return probabilities
