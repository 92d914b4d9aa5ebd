"""Interception: hooks around each site's forward, and inside them a mode that sees the attention calls."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode, _push_mode

from ..errors import PatchError, SettingError, SiteCallCountError, SiteNotFoundError, SiteNotSeenError
from ..sites import Site
from .call import SdpaCall, SoftmaxCall, Window, announced
from .interventions import Intervention

Rows: TypeAlias = Callable[[int], slice]

_SOFTMAXES = (F.softmax, torch.softmax, torch.Tensor.softmax, torch.special.softmax)
_REMEDY = (
    "use sdpa or eager attention (not xformers, flash-attention or flex kernels), patch before compiling, "
    "and check that the site is the module that computes the attention"
)


@dataclass
class PatchRecord:
    """What happened inside a patch: how often each site's forward started, by path."""

    forwards: dict[str, int] = field(default_factory=dict)


@contextmanager
def intercept(
    backbone: nn.Module, interventions: Iterable[tuple[Site, Intervention]], rows: Rows, *, strict: bool = True
) -> Iterator[PatchRecord]:
    """Let interventions compute the attention of sites while the context is open.

    Patches nest: the one entered last acts first, and the call it makes goes to the one entered before. Other threads
    that run the backbone meanwhile are patched too, each with a state of its own. For gradients through checkpointing
    stay inside the context until backward has run, and leave ``use_reentrant`` at False.

    Args:
        backbone: the module site paths start from; must not have been compiled before.
        interventions: pairs of a site and what computes its attention; of several on one path the last acts first.
        rows: from the size of a batch to its conditional rows (contiguous).
        strict: also insist, on leaving without an exception, that each site has run.

    Raises:
        SiteNotFoundError: a path does not exist; nothing has been installed.
        SiteNotSeenError: a site ran and its attention was not seen; or, on leaving, it never ran.
        SiteCallCountError: a site made another number of attention calls than ``Site.calls``.
        PatchError: the backbone was compiled before.
    """
    _keep_compiler_out()
    pairs = list(interventions)
    modules = [_find(backbone, site.path) for site, _ in pairs]
    record = PatchRecord({site.path: 0 for site, _ in pairs})
    entries = _Entries()
    with ExitStack() as undo:
        undo.callback(entries.unwind)
        for module, (site, intervention) in zip(modules, pairs, strict=True):
            _SiteHooks(site, intervention, rows, record, entries).install(module, undo)
        yield record
    if strict:
        _check_ran(record)


def _check_ran(record: PatchRecord) -> None:
    idle = [path for path, count in record.forwards.items() if count == 0]
    if not idle:
        return
    what = "no patched site ran" if len(idle) == len(record.forwards) else f"{len(idle)} patched sites never ran"
    raise SiteNotSeenError(
        f"{what} inside the patch ({', '.join(idle[:3])}{', ...' if len(idle) > 3 else ''}): run the model inside it; "
        "a compiled graph made before the patch ignores it; pass strict=False if that is intended"
    )


def _find(backbone: nn.Module, path: str) -> nn.Module:
    """The module at ``path``; refuses missing paths and modules compiled earlier, whose graph would ignore hooks."""
    module = backbone
    _refuse_compiled(module, "the backbone")
    for name in filter(None, path.split(".")):
        child = getattr(module, name, None)
        if not isinstance(child, nn.Module):
            raise SiteNotFoundError(_not_found(backbone, path))
        module = child
        _refuse_compiled(module, f"site {path}")
    return module


def _refuse_compiled(module: nn.Module, what: str) -> None:
    if type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
        raise PatchError(f"{what} was compiled before the patch and would ignore it: compile inside the patch, or not")


def _not_found(backbone: nn.Module, path: str) -> str:
    names = [name for name, _ in backbone.named_modules() if name]
    near = difflib.get_close_matches(path, names, n=3, cutoff=0.4)
    hint = f"; the nearest are {', '.join(near)}" if near else ""
    return f"{type(backbone).__name__} has no module {path!r}{hint}"


class _Entries(threading.local):
    """Modes entered and not yet left on this thread, oldest first."""

    def __init__(self) -> None:
        self.modes: list[_SiteMode] = []

    def unwind(self) -> None:
        """Take our modes off torch's stack: a KeyboardInterrupt skips even forward hooks that are always called."""
        while self.modes:
            _remove_mode(self.modes.pop())

    def unwind_stale(self, hooks: _SiteHooks) -> None:
        """Before ``hooks`` enters: take off the modes left by a forward that was interrupted and given up."""
        while self.modes and not self.modes[-1].hooks.may_enclose(hooks):
            _remove_mode(self.modes.pop())


class _SiteHooks:
    """The two hooks of one site and intervention."""

    def __init__(
        self, site: Site, intervention: Intervention, rows: Rows, record: PatchRecord, entries: _Entries
    ) -> None:
        self.site, self.intervention, self.rows = site, intervention, rows
        self.record, self.entries = record, entries

    def install(self, module: nn.Module, undo: ExitStack) -> None:
        # The pre-hook goes last and the forward hook first, so that of nested patches the inner one, whose mode
        # is on top of the stack, also leaves first, and other people's hooks run outside of the modes.
        undo.callback(module.register_forward_pre_hook(self.enter, with_kwargs=True).remove)
        handle = module.register_forward_hook(self.leave, prepend=True, with_kwargs=True, always_call=True)
        undo.callback(handle.remove)

    def may_enclose(self, other: _SiteHooks) -> bool:
        """Whether the forward of ``other`` may run while this one's has not ended."""
        if self.site.path == other.site.path:
            return self is not other
        return other.site.path.startswith(f"{self.site.path}.")

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.entries.unwind_stale(self)
        self.record.forwards[self.site.path] += 1
        offset = 0 if self.site.offset is None else int(self.site.offset(_by_name(module, args, kwargs)))
        mode = _SiteMode(self, offset, _batch_of(args, kwargs))
        _push_mode(mode)  # type: ignore[no-untyped-call]
        self.entries.modes.append(mode)

    def leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not self.entries.modes or self.entries.modes[-1].hooks is not self:
            return  # a hook before ours raised, so this forward never entered
        mode = self.entries.modes.pop()
        _remove_mode(mode)
        # torch passes None where the forward raised; checkpointing ends its recomputation by raising, too
        if output is not None and not isinstance(sys.exc_info()[1], PatchError):
            self._check_calls(mode.count())

    def _check_calls(self, calls: float) -> None:
        site = self.site
        if calls == 0:
            raise SiteNotSeenError(f"site {site.path} ran, and its attention never passed through torch: {_REMEDY}")
        if calls != site.calls:
            raise SiteCallCountError(
                f"site {site.path} made {calls:g} attention calls in one forward and declares {site.calls}: "
                "the module is not one attention, or Site.calls is wrong"
            )


class _SiteMode(TorchFunctionMode):
    """Sees every torch function called inside one forward of a site, and hands on the attention calls."""

    def __init__(self, hooks: _SiteHooks, offset: int, batch: int | None) -> None:
        super().__init__()
        self.hooks, self.offset, self.batch = hooks, offset, batch
        self.complete = 0
        self.partial: dict[int, int] = {}

    def count(self) -> float:
        """Attention calls seen; the parts into which an inner patch splits a batch make up one."""
        return self.complete + sum(rows / total for total, rows in self.partial.items())

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            return self._open(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return self._sdpa(*args, **kwargs)
        if func in _SOFTMAXES:
            scores, dtype, over_keys = _softmax_arguments(*args, **kwargs)
            if over_keys:
                return self._softmax(scores, dtype)
        return func(*args, **kwargs)

    def _open(self, query: Tensor, *args: Any, **kwargs: Any) -> Any:
        """nn.MultiheadAttention's functional hides its attention from the mode that handles it: look inside."""
        if query.ndim == 3:  # here always [T, B, C]
            self.batch = query.shape[1]
        with self:
            return _multi_head_attention_forward(query, *args, **kwargs)

    def _sdpa(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
              is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False) -> Tensor:  # fmt: skip
        flat = query.ndim == 3
        if flat:
            query, key, value = self._unflatten(query), self._unflatten(key), self._unflatten(value)
            if attn_mask is not None and attn_mask.ndim == 3:
                attn_mask = self._unflatten(attn_mask) if attn_mask.shape[0] > 1 else attn_mask
        elif query.ndim != 4:
            raise PatchError(f"site {self.hooks.site.path}: attention over {query.ndim} dimensions is not supported")
        call = SdpaCall(
            **self._where(query.shape[0]), query=query, key=key, value=value, attn_mask=attn_mask, dropout_p=dropout_p,
            is_causal=is_causal, scale=scale, enable_gqa=enable_gqa,
        )  # fmt: skip
        result = self.hooks.intervention(call)
        return result.flatten(0, 1) if flat else result

    def _softmax(self, scores: Tensor, dtype: torch.dtype | None) -> Tensor:
        grid = scores if scores.ndim == 4 else self._unflatten(scores)
        call = SoftmaxCall(**self._where(grid.shape[0]), scores=grid, dtype=dtype)
        return self.hooks.intervention(call).reshape(scores.shape)

    def _unflatten(self, tensor: Tensor) -> Tensor:
        """[B*H, ...] to [B, H, ...]; the batch is that of the module's first tensor."""
        batch = self.batch or tensor.shape[0]
        if tensor.shape[0] % batch:
            raise PatchError(
                f"site {self.hooks.site.path}: attention over {list(tensor.shape)} cannot be split into the {batch} "
                "rows of the module's input"
            )
        return tensor.reshape(batch, tensor.shape[0] // batch, *tensor.shape[1:])

    def _where(self, batch: int) -> dict[str, Any]:
        """Which rows of the call are conditional; counts the call."""
        window = announced()
        if window is None or window.stop - window.start == window.total:
            window = Window(0, batch, batch)
            self.complete += 1
        else:
            self.partial[window.total] = self.partial.get(window.total, 0) + batch
        start, stop = _contiguous(self.hooks.rows(window.total), window.total)
        low, high = max(start, window.start), min(stop, window.stop)
        rows = slice(low - window.start, high - window.start) if low < high else slice(0, 0)
        return {
            "site": self.hooks.site, "offset": self.offset, "rows": rows, "window": window,
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


@functools.cache
def _keep_compiler_out() -> None:
    """Let torch.compile break its graphs at our code: traced, modes and hooks compute something else, silently.

    Done at the first patch, because it imports the compiler (one second).
    """
    for owner, name in ((_SiteHooks, "enter"), (_SiteHooks, "leave"), (_SiteMode, "__torch_function__")):
        setattr(owner, name, torch.compiler.disable(getattr(owner, name)))  # type: ignore[no-untyped-call]


def _by_name(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
    """The arguments of a forward by name; those gathered in ``**kwargs`` under their own names."""
    method = module.forward
    signature = _signature(method.__func__) if inspect.ismethod(method) else inspect.signature(method)
    args = (module, *args) if inspect.ismethod(method) else args
    named = dict(signature.bind(*args, **kwargs).arguments)
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            named.update(named.pop(parameter.name, {}))
    return named


_signature = functools.lru_cache(maxsize=64)(inspect.signature)
"""Of functions defined in classes alone: closures put on a module would keep it alive."""


def _batch_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor) and value.ndim >= 2:
            return value.shape[0]
    return None


def _remove_mode(mode: TorchFunctionMode) -> None:
    """Take ``mode`` off this thread's stack, and nothing else, wherever it is."""
    if not any(m is mode for m in _get_current_function_mode_stack()):  # type: ignore[no-untyped-call]
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
