"""Interception: hooks around each site's forward that enter and leave a mode which sees the attention calls."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.overrides import _push_mode

from ..errors import PatchError, SiteCallCountError, SiteNotFoundError, SiteNotSeenError
from ..sites import Site
from .compiler import never_compiled
from .interventions import Intervention
from .mode import Rows, SiteMode, remove_mode

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
    """Modes entered and not yet left on this thread, oldest first, each with the hooks that entered it."""

    def __init__(self) -> None:
        self.open: list[tuple[_SiteHooks, SiteMode]] = []

    def unwind(self) -> None:
        """Take our modes off torch's stack: a KeyboardInterrupt skips even forward hooks that are always called."""
        while self.open:
            remove_mode(self.open.pop()[1])

    def unwind_stale(self, hooks: _SiteHooks) -> None:
        """Before ``hooks`` enters: take off the modes left by a forward that was interrupted and given up."""
        while self.open and not self.open[-1][0].may_enclose(hooks):
            remove_mode(self.open.pop()[1])


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
        mode = SiteMode(self.site, self.intervention, self.rows, offset, _batch_of(args, kwargs))
        _push_mode(mode)  # type: ignore[no-untyped-call]
        self.entries.open.append((self, mode))

    def leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        entered = self.entries.open
        if not entered or entered[-1][0] is not self:
            return  # a hook before ours raised, so this forward never entered
        _, mode = entered.pop()
        remove_mode(mode)
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


@functools.cache
def _keep_compiler_out() -> None:
    """Let torch.compile break its graphs at our code: traced, modes and hooks compute something else, silently.

    Done at the first patch, because it imports the compiler (one second).
    """
    for owner, name in ((_SiteHooks, "enter"), (_SiteHooks, "leave"), (SiteMode, "__torch_function__")):
        setattr(owner, name, never_compiled(getattr(owner, name)))


def _by_name(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a forward by name."""
    if not args:
        return kwargs
    method = module.forward
    names = _positional(method.__func__)[1:] if inspect.ismethod(method) else _positional.__wrapped__(method)
    return {**dict(zip(names, args, strict=False)), **kwargs}


@functools.lru_cache(maxsize=64)
def _positional(function: Callable[..., Any]) -> list[str]:
    """Names of the positional parameters; kept for functions of classes alone: closures would keep a module alive."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds]


def _batch_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor) and value.ndim >= 2:
            return value.shape[0]
    return None
