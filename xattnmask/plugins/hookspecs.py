"""The hooks a plugin implements, one per thing that can be offered, and the events of an explanation.

A plugin is whatever object an entry point names: usually a module, with functions marked ``@hookimpl``.
The entry point's group says what it offers, its name is the key users type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from ..adapter import Adapter
    from ..events import RunStart, StepEvent
    from ..methods.base import Method
    from ..results import Explanation
    from .offers import Checkpoint, Judge, World

PROJECT = "xattnmask"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def xattnmask_adapter() -> type[Adapter]:  # type: ignore[empty-body]
    """The adapter class of a model key (group ``xattnmask.adapters``)."""


@hookspec
def xattnmask_checkpoint() -> Checkpoint:  # type: ignore[empty-body]
    """Where a named checkpoint lies and which model key loads it (group ``xattnmask.checkpoints``)."""


@hookspec
def xattnmask_judge() -> type[Judge]:  # type: ignore[empty-body]
    """The class of an audio classifier that metrics use (group ``xattnmask.judges``)."""


@hookspec
def xattnmask_world() -> World:  # type: ignore[empty-body]
    """A world whose true causes are known (group ``xattnmask.worlds``)."""


@hookspec
def xattnmask_method() -> Method:  # type: ignore[empty-body]
    """An attribution method (group ``xattnmask.methods``)."""


@hookspec
def xattnmask_start(run: RunStart) -> None:
    """An explanation starts (group ``xattnmask.listeners``, as the next two)."""


@hookspec
def xattnmask_step(event: StepEvent) -> None:
    """One step of an explanation is done."""


@hookspec
def xattnmask_end(explanation: Explanation) -> None:
    """An explanation is ready."""
