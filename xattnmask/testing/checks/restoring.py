"""Whatever happens inside a patch, the model is afterwards as it was, other people's hooks included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import _get_current_function_mode_stack

from ...errors import SiteNotFoundError
from ...patching import intercept, patch
from ...sites import Site
from ..check import check, require
from ..measuring import readers, same
from ..subject import Subject
from .masks import constant, replayed

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called")


class _Stop(Exception):
    """What a foreign hook raises to end a forward half-way."""


@check("the model is restored after success, nesting, an error, an interrupt and a failed install; foreign hooks stay",
       "Undo in a `finally` whatever generate and replay set on the adapter or the backbone.")
def restoring(subject: Subject) -> None:
    clean, made = replayed(subject), subject.generation()
    with _foreign_hook(subject) as calls:
        before, zeros = _state(subject), constant(subject, 0)
        for what, run in (("success", _run), ("nesting", _nested), ("a failed install", _failed_install)):
            run(subject, zeros)
            _unchanged(subject, before, what)
        for error in (_Stop, KeyboardInterrupt):
            for where in ("generate", "replay"):
                _interrupted(subject, zeros, error, where)
                _unchanged(subject, before, f"{error.__name__.strip('_')} in {where}")
        calls.clear()
        require(same(replayed(subject), clean), "replay gives something else after an interrupted run: undo in a "
                "`finally` what generate and replay set on the adapter or the backbone")
        again = subject.model.regenerate(made)
        require(same(again.audio, made.audio), "generate gives something else after an interrupted run: undo in a "
                "`finally` what generate and replay set on the adapter or the backbone (caches and streaming states "
                "too)")
        _unchanged(subject, before, "replay and generate without a patch")
        require(bool(calls), "a forward hook of somebody else on a site no longer fires: leave hooks alone that you "
                "did not install")


def _run(subject: Subject, zeros: torch.Tensor) -> None:
    with patch(subject.model, zeros), torch.no_grad():
        subject.model.replay(subject.generation())
        subject.generate()


def _nested(subject: Subject, zeros: torch.Tensor) -> None:
    model, made = subject.model, subject.generation()
    with patch(model, zeros), torch.no_grad():
        alone = model.replay(made)
        with patch(model, constant(subject, 1)):
            require(same(model.replay(made), alone), "a mask of ones inside of another changes the replay")
        require(same(model.replay(made), alone), "after an inner patch the outer one acts otherwise")


def _failed_install(subject: Subject, zeros: torch.Tensor) -> None:
    model = subject.model
    sites = [*readers(model, zeros.shape[-1]), Site("no.such.module", 0)]
    try:
        with intercept(model.backbone, [(site, lambda call: call.run()) for site in sites], model.conditional_rows):
            pass
    except SiteNotFoundError:
        return
    require(False, "a site that does not exist was installed: backbone.get_submodule must fail for unknown paths")


def _interrupted(subject: Subject, zeros: torch.Tensor, error: type[BaseException], where: str) -> None:
    """A foreign hook raises in the middle of a patched run."""
    site = readers(subject.model, zeros.shape[-1])[-1]

    def stop(*_: Any) -> None:
        raise error

    handle = _module(subject, site).register_forward_hook(stop)
    try:
        with patch(subject.model, zeros), torch.no_grad():
            subject.generate() if where == "generate" else subject.model.replay(subject.generation())
    except error:
        pass
    else:
        require(False, f"{where} swallows {error.__name__.strip('_')} that a module raised: let it pass")
    finally:
        handle.remove()


@contextmanager
def _foreign_hook(subject: Subject) -> Iterator[list[None]]:
    calls: list[None] = []
    site = readers(subject.model, len(subject.generation().tokens))[0]
    handle = _module(subject, site).register_forward_hook(lambda *_: calls.append(None))
    try:
        yield calls
    finally:
        handle.remove()


def _module(subject: Subject, site: Site) -> nn.Module:
    module: Any = subject.model.backbone
    for name in site.path.split("."):
        module = getattr(module, name)
    found: nn.Module = module
    return found


def _state(subject: Subject) -> dict[str, Any]:
    """Hooks of each module, torch's modes, and which rows are conditional."""
    hooks = {
        name: [list(getattr(module, kind, ())) for kind in _HOOKS]
        for name, module in subject.model.backbone.named_modules()
    }
    return {"hooks": hooks, "modes": _get_current_function_mode_stack(),  # type: ignore[no-untyped-call]
            "conditional_rows": subject.model.conditional_rows(6), "gradients": torch.is_grad_enabled()}


def _unchanged(subject: Subject, before: dict[str, Any], what: str) -> None:
    now = _state(subject)
    for name, kept in before.items():
        if now[name] == kept:
            continue
        remedy = {
            "hooks": "remove the hooks you install, and those alone, in a `finally`",
            "modes": "leave torch function modes in a `finally`",
            "conditional_rows": "reset the flag of guidance in a `finally`",
            "gradients": "use torch.no_grad as a context or decorator",
        }[name]
        detail = f" ({kept} before, {now[name]} now)" if name == "conditional_rows" else ""
        require(False, f"after {what}, {name.replace('_', ' ')} are not what they were{detail}: {remedy}")
