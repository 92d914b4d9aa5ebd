"""One intercepted attention call, in the two forms in which libraries write attention.

Both forms are always seen as [B, H, Q, K], whatever the module's own layout; the mode that intercepts
restores the layout afterwards.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from ..errors import SettingError
from ..sites import Site


@dataclass(frozen=True)
class Window:
    """Which rows ``start:stop`` of a batch of ``total`` rows an attention call holds, and what share of its queries."""

    start: int
    stop: int
    total: int
    share: Fraction = Fraction(1)


class _Announced(threading.local):
    window: Window | None = None


_announced = _Announced()


@contextmanager
def announce(window: Window) -> Iterator[None]:
    """Tell the next patch below on this thread that the call made here holds only part of the batch.

    An intervention may split a batch (conditional rows by hand, the others by the original kernel) or its queries; an
    outer patch then sees several calls and must neither count them as several nor mistake their rows.
    """
    before = _announced.window
    _announced.window = window
    try:
        yield
    finally:
        _announced.window = before


def announced() -> Window | None:
    """The window of the call being made; asking for it takes it back."""
    window, _announced.window = _announced.window, None
    return window


def widen(tensor: Tensor) -> Tensor:
    """``tensor`` in float32, or in float64 if it is float64."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


@dataclass(frozen=True, kw_only=True)
class AttentionCall(ABC):
    """One attention call of a site.

    Attributes:
        site: the site that made it.
        offset: absolute position of the first query (above 0 under a key-value cache).
        rows: the conditional rows of this call, ``start:stop`` with step 1; may be empty.
        window: which rows of the whole batch this call holds.
        first: index of ``rows.start`` among all conditional rows of the whole batch.
        conditional: number of conditional rows in the whole batch.
    """

    site: Site
    offset: int
    rows: slice
    window: Window
    first: int
    conditional: int

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int, int]:
        """Batch, heads, queries, keys."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the call is computed."""

    @abstractmethod
    def run(self) -> Tensor:
        """Make the original call, unchanged."""

    @property
    def num_rows(self) -> int:
        """How many rows of this call are conditional."""
        return int(self.rows.stop - self.rows.start)

    def columns(self) -> slice | list[int]:
        """The key columns of the prompt's tokens, checked against the keys of this call."""
        keys = self.site.keys if self.site.standins is None else self.site.standins()[0]
        count = self.shape[3]
        if keys is None:
            return slice(0, count)
        if isinstance(keys, slice):
            start, stop, step = keys.indices(count)
            return slice(start, stop, step)
        columns = [int(k) for k in keys]
        if any(not -count <= k < count for k in columns):
            raise SettingError(f"site {self.site.path} has {count} keys; its key columns {columns} go beyond them")
        return columns

    def query_span(self) -> tuple[int, int]:
        """Which queries ``start:stop`` of this call the site wants masked (a prefix model: the audio part)."""
        start, stop, step = self.site.queries.start or 0, self.site.queries.stop, self.site.queries.step
        if start < 0 or (stop is not None and stop < 0) or step not in (None, 1):
            raise SettingError(
                f"queries of site {self.site.path} must be start:stop, not negative: {self.site.queries}"
            )
        count = self.shape[2]
        first = min(max(start - self.offset, 0), count)
        last = count if stop is None else min(max(stop - self.offset, first), count)
        return first, last


@dataclass(frozen=True, kw_only=True)
class SdpaCall(AttentionCall):
    """A call of ``torch.nn.functional.scaled_dot_product_attention``; the result is [B, H, Q, d].

    query [B, H, Q, d], key and value [B, H or fewer under ``enable_gqa``, K, d]; the rest as torch names it.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        batch, heads, queries, _ = self.query.shape
        return batch, heads, queries, self.key.shape[-2]

    @property
    def device(self) -> torch.device:
        return self.query.device

    def run(self) -> Tensor:
        gqa = {"enable_gqa": True} if self.enable_gqa else {}
        with announce(self.window):
            return F.scaled_dot_product_attention(
                self.query, self.key, self.value, attn_mask=self.attn_mask, dropout_p=self.dropout_p,
                is_causal=self.is_causal, scale=self.scale, **gqa,
            )  # fmt: skip

    def part(self, start: int, stop: int) -> SdpaCall:
        """The same call for the batch rows ``start:stop`` alone."""
        mask, batch = self.attn_mask, self.shape[0]
        if (start, stop) == (0, batch):
            return self
        if mask is not None and mask.ndim == 4 and mask.shape[0] == batch:
            mask = mask[start:stop]
        low, high = max(self.rows.start, start), min(self.rows.stop, stop)
        rows = slice(low - start, high - start) if low < high else slice(0, 0)
        origin = self.window.start
        return replace(
            self, query=self.query[start:stop], key=_take(self.key, start, stop, batch),
            value=_take(self.value, start, stop, batch), attn_mask=mask, rows=rows,
            first=self.first + max(low - self.rows.start, 0),
            window=replace(self.window, start=origin + start, stop=origin + stop),
        )  # fmt: skip

    def logits(self) -> Tensor:
        """What goes into the softmax, [B, H, Q, K] in float32 (float64 for float64 models); -inf where masked."""
        query, key = widen(self.query), widen(self.per_head(self.key))
        scale = query.shape[-1] ** -0.5 if self.scale is None else self.scale
        if _few_keys(key.shape[-2], key.device):
            logits = (key @ query.transpose(-2, -1)).transpose(-2, -1) * scale
        else:
            logits = query @ key.transpose(-2, -1) * scale
        if self.is_causal:  # torch aligns the triangle to the top left
            allowed = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
            logits = logits.masked_fill(~allowed, float("-inf"))
        if self.attn_mask is None:
            return logits
        if self.attn_mask.dtype == torch.bool:
            return logits.masked_fill(~self.attn_mask, float("-inf"))
        return logits + self.attn_mask

    def softmax(self, logits: Tensor) -> Tensor:
        """Probabilities of ``logits``; a query without any key gives 0, as torch's own kernels do."""
        if self.attn_mask is None:  # then each query has a key: the triangle of ``is_causal`` leaves it the first
            with announce(self.window):
                return softmax_over_keys(logits)
        dead = logits.detach().isneginf().all(-1, keepdim=True)
        with announce(self.window):
            probabilities = softmax_over_keys(logits.masked_fill(dead, 0.0))
        return probabilities.masked_fill(dead, 0.0)

    def attend(self, probabilities: Tensor) -> Tensor:
        """The result of the call for these probabilities, in the value's dtype."""
        if self.dropout_p > 0.0:
            probabilities = F.dropout(probabilities, self.dropout_p)
        value = self.per_head(self.value)
        return (probabilities @ value.to(probabilities.dtype)).to(value.dtype)

    def per_head(self, tensor: Tensor) -> Tensor:
        """Keys or values repeated so that each query head has its own (grouped-query attention)."""
        groups = self.query.shape[1] // tensor.shape[1] if self.enable_gqa else 1
        return tensor if groups == 1 else tensor.repeat_interleave(groups, dim=1)


@dataclass(frozen=True, kw_only=True)
class SoftmaxCall(AttentionCall):
    """A softmax over the keys in explicit attention; the result is the probabilities [B, H, Q, K].

    scores [B, H, Q, K], already scaled and masked; ``dtype`` is the softmax's own dtype argument.
    """

    scores: Tensor
    dtype: torch.dtype | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        batch, heads, queries, keys = self.scores.shape
        return batch, heads, queries, keys

    @property
    def device(self) -> torch.device:
        return self.scores.device

    def run(self) -> Tensor:
        with announce(self.window):
            return torch.softmax(self.scores, dim=-1, dtype=self.dtype)


def softmax_over_keys(scores: Tensor) -> Tensor:
    """Softmax over the last dimension, as a torch function of its own: patches entered earlier see it as attention."""
    if has_torch_function_unary(scores):
        return handle_torch_function(softmax_over_keys, (scores,), scores)
    if _few_keys(scores.shape[-1], scores.device):
        return torch.softmax(scores.transpose(-2, -1), dim=-2).transpose(-2, -1)
    return torch.softmax(scores, dim=-1)


def _few_keys(keys: int, device: torch.device) -> bool:
    """Whether to compute with the keys first: torch's softmax on the CPU is ten times slower on rows below 16."""
    return keys < 16 and device.type == "cpu"


def _take(tensor: Tensor, start: int, stop: int, batch: int) -> Tensor:
    return tensor[start:stop] if tensor.shape[0] == batch else tensor
