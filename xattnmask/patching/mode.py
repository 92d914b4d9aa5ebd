"""The mode that sees every torch function called inside a site's forward, and hands on the attention calls."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from types import FunctionType
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode, _push_mode

from ..errors import PatchError, SettingError
from ..sites import Site
from .call import SdpaCall, SoftmaxCall, Window, announced, softmax_over_keys
from .interventions import Intervention

Rows: TypeAlias = Callable[[int], slice]


class SiteMode(TorchFunctionMode):
    """One forward of a site.

    Args:
        site: the site.
        intervention: what computes its attention.
        rows: from the size of a batch to its conditional rows.
        offset: absolute position of the first query.
        batch: rows of the module's input, for attention written over [B*H, ...]; None if not known.
    """

    def __init__(self, site: Site, intervention: Intervention, rows: Rows, offset: int, batch: int | None) -> None:
        super().__init__()
        self.site, self.intervention, self.rows = site, intervention, rows
        self.offset, self.batch = offset, batch
        self.complete = 0
        self.partial: dict[int, Fraction] = {}

    def count(self) -> float:
        """Attention calls seen; the parts into which an inner patch splits one make up one."""
        return float(self.complete + sum(rows / total for total, rows in self.partial.items()))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        handler = _HANDLERS.get(func)
        if handler is None:  # nearly always: keep it quick
            return func(*args, **kwargs) if kwargs else func(*args)
        return handler(self, func, *args, **(kwargs or {}))

    def _open(self, _: Any, query: Tensor, *args: Any, **kwargs: Any) -> Any:
        """nn.MultiheadAttention's functional hides its attention from the mode that handles it: look inside."""
        if query.ndim == 3:  # here always [T, B, C]
            self.batch = query.shape[1]
        with self:
            return _multi_head_attention_forward(query, *args, **kwargs)

    def _sdpa(self, _: Any, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
              dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
              enable_gqa: bool = False) -> Tensor:  # fmt: skip
        flat = query.ndim == 3
        if flat:
            query, key, value = self._unflatten(query), self._unflatten(key), self._unflatten(value)
            if attn_mask is not None and attn_mask.ndim == 3:
                attn_mask = self._unflatten(attn_mask) if attn_mask.shape[0] > 1 else attn_mask
        elif query.ndim != 4:
            raise PatchError(f"site {self.site.path}: attention over {query.ndim} dimensions is not supported")
        call = SdpaCall(
            **self._where(query.shape[0]), query=query, key=key, value=value, attn_mask=attn_mask, dropout_p=dropout_p,
            is_causal=is_causal, scale=scale, enable_gqa=enable_gqa,
        )  # fmt: skip
        result = self.intervention(call)
        return result.flatten(0, 1) if flat else result

    def _softmax(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        scores, dtype, over_keys = _softmax_arguments(*args, **kwargs)
        return self._over_keys(func, scores, dtype) if over_keys else func(*args, **kwargs)

    def _over_keys(self, _: Any, scores: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        grid = scores if scores.ndim == 4 else self._unflatten(scores)
        call = SoftmaxCall(**self._where(grid.shape[0]), scores=grid, dtype=dtype)
        return self.intervention(call).reshape(scores.shape)

    def _unflatten(self, tensor: Tensor) -> Tensor:
        """[B*H, ...] to [B, H, ...]; the batch is that of the module's first tensor."""
        batch = self.batch or tensor.shape[0]
        if tensor.shape[0] % batch:
            raise PatchError(
                f"site {self.site.path}: attention over {list(tensor.shape)} cannot be split into the {batch} "
                "rows of the module's input: compute it whole, not in slices"
            )
        return tensor.reshape(batch, tensor.shape[0] // batch, *tensor.shape[1:])

    def _where(self, batch: int) -> dict[str, Any]:
        """Which rows of the call are conditional; counts the call."""
        window = announced()
        if window is None or (window.stop - window.start == window.total and window.share == 1):
            window = Window(0, batch, batch)
            self.complete += 1
        else:
            self.partial[window.total] = self.partial.get(window.total, Fraction()) + batch * window.share
        start, stop = _contiguous(self.rows(window.total), window.total)
        low, high = max(start, window.start), min(stop, window.stop)
        rows = slice(low - window.start, high - window.start) if low < high else slice(0, 0)
        return {
            "site": self.site, "offset": self.offset, "rows": rows, "window": window,
            "first": max(low - start, 0), "conditional": stop - start,
        }  # fmt: skip


def _contiguous(rows: slice, total: int) -> tuple[int, int]:
    start, stop, step = rows.indices(total)
    if step != 1:
        raise SettingError(f"conditional rows must be contiguous, not {rows}")
    return start, max(start, stop)


def _softmax_arguments(
    input: Tensor, dim: int | None = None, *rest: Any, dtype: torch.dtype | None = None, **_: Any
) -> tuple[Tensor, torch.dtype | None, bool]:
    """Scores, dtype, and whether the softmax may be one over keys; ``rest`` is a dtype or F.softmax's stack level."""
    dtype = next((x for x in rest if isinstance(x, torch.dtype)), dtype)
    return input, dtype, input.ndim in (3, 4) and dim in (-1, input.ndim - 1)


def remove_mode(mode: TorchFunctionMode) -> None:
    """Take ``mode`` off this thread's stack, and nothing else, wherever it is."""
    if mode not in _get_current_function_mode_stack():  # type: ignore[no-untyped-call]
        return
    above = []
    while (top := _pop_mode()) is not mode:  # type: ignore[no-untyped-call]
        above.append(top)
    for other in reversed(above):
        _push_mode(other)  # type: ignore[no-untyped-call]


def _without_override_check(function: Any) -> Callable[..., Any]:
    """``function`` without the check that hands the whole of it to the mode on top, again and again."""
    scope = {**function.__globals__, "has_torch_function": lambda _: False}
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


_multi_head_attention_forward = _without_override_check(F.multi_head_attention_forward)

_SOFTMAXES = (F.softmax, torch.softmax, torch.Tensor.softmax, torch.special.softmax)
_HANDLERS: dict[Any, Callable[..., Any]] = {
    F.multi_head_attention_forward: SiteMode._open,
    F.scaled_dot_product_attention: SiteMode._sdpa,
    softmax_over_keys: SiteMode._over_keys,
    **dict.fromkeys(_SOFTMAXES, SiteMode._softmax),
}
