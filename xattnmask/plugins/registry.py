"""The registry of plugins: what is on offer, one thing by its key, and who listens.

This is the face of the package; ``discovery`` reads metadata, ``loader`` imports, ``listeners`` passes events on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PluginError
from .discovery import ADAPTERS, CHECKPOINTS, JUDGES, LISTENERS, METHODS, WORLDS, Offer, keys, offers
from .listeners import PluginWarning, Relay, listeners, register, unregister
from .loader import load, name_plugin

if TYPE_CHECKING:
    from ..adapter import Adapter
    from ..methods.base import Method
    from .offers import Checkpoint, Judge, World

__all__ = [
    "ADAPTERS",
    "CHECKPOINTS",
    "JUDGES",
    "LISTENERS",
    "METHODS",
    "WORLDS",
    "Offer",
    "PluginWarning",
    "Relay",
    "adapter",
    "checkpoint",
    "judge",
    "keys",
    "listeners",
    "load",
    "method",
    "offers",
    "register",
    "unregister",
    "world",
]


def adapter(key: str) -> type[Adapter]:
    """The adapter class offered as model ``key``; errors as :func:`load`."""
    from ..adapter import Adapter

    found = load(ADAPTERS, key)
    _check(isinstance(found, type) and issubclass(found, Adapter), ADAPTERS, key, "a subclass of Adapter", found)
    _check(getattr(found, "key", None) == key, ADAPTERS, key, f"a class whose key is {key!r}", found)
    return found  # type: ignore[no-any-return]


def method(key: str) -> Method:
    """The attribution method offered as ``key``; errors as :func:`load`."""
    from ..methods.base import Method

    found = load(METHODS, key)
    _check(isinstance(found, Method), METHODS, key, "an instance of Method", found)
    _check(getattr(found, "name", None) == key, METHODS, key, f"a method whose name is {key!r}", found)
    return found  # type: ignore[no-any-return]


def checkpoint(key: str) -> Checkpoint:
    """The checkpoint named ``key``; errors as :func:`load`."""
    from .offers import Checkpoint

    found = load(CHECKPOINTS, key)
    _check(isinstance(found, Checkpoint), CHECKPOINTS, key, "a Checkpoint", found)
    return found  # type: ignore[no-any-return]


def judge(key: str) -> type[Judge]:
    """The class of the judge offered as ``key``; errors as :func:`load`."""
    from .offers import Judge

    found = load(JUDGES, key)
    _check(isinstance(found, type) and issubclass(found, Judge), JUDGES, key, "a subclass of Judge", found)
    return found  # type: ignore[no-any-return]


def world(key: str) -> World:
    """The world offered as ``key``; errors as :func:`load`."""
    from .offers import World

    found = load(WORLDS, key)
    _check(isinstance(found, World), WORLDS, key, "an instance of World", found)
    return found  # type: ignore[no-any-return]


def _check(right: bool, group: str, key: str, wanted: str, found: object) -> None:
    if not right:
        raise PluginError(f"{name_plugin(group, key)} must hand over {wanted}, not {found!r}")
