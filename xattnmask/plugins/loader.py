"""Loading of plugins, one at a time: a broken one is reported by name and hurts nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import pluggy

from ..errors import PluginError, XattnmaskError
from . import hookspecs
from .discovery import ADAPTERS, CHECKPOINTS, JUDGES, KINDS, LISTENERS, METHODS, WORLDS, distribution_name, find
from .libraries import missing_library

HOOKS = {
    ADAPTERS: ("xattnmask_adapter",),
    CHECKPOINTS: ("xattnmask_checkpoint",),
    JUDGES: ("xattnmask_judge",),
    METHODS: ("xattnmask_method",),
    LISTENERS: ("xattnmask_start", "xattnmask_step", "xattnmask_end"),
    WORLDS: ("xattnmask_world",),
}
"""The hooks of each entry-point group; a plugin implements at least one of its group's."""


def load(group: str, key: str) -> Any:
    """What the plugin ``key`` of an entry-point group hands over; nothing else is imported.

    Raises:
        UnknownKeyError: no plugin offers the key; the message offers the nearest names.
        PluginConflictError: two distributions claim the key; the message names both.
        MissingLibraryError: the plugin's library is not installed; the message holds the pip line.
        PluginError: the plugin is broken or does not implement its group's hook.
    """
    hook = HOOKS[group][0]
    manager = load_plugin(group, key)
    with blaming(group, key):
        results = getattr(manager.hook, hook)()
    if not results:
        raise PluginError(f"{name_plugin(group, key)} returned nothing from {hook}()")
    return results[0]


def load_plugin(group: str, key: str) -> pluggy.PluginManager:
    """Import the one plugin ``key`` and register it, alone, in a new plugin manager; errors as :func:`load`."""
    entry = find(group, key)
    with blaming(group, key):
        plugin = entry.load()
        return managed(plugin, name_plugin(group, key), HOOKS[group])


def managed(plugin: object, name: str, hooks: tuple[str, ...]) -> pluggy.PluginManager:
    """A plugin manager that holds ``plugin`` alone, checked to implement one of ``hooks`` at least.

    Raises PluginError when it does not, or when its hooks do not match the specifications.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{name} does not match the hook specifications: {one_line(error)}") from error
    implemented = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
    if not implemented.intersection(hooks):
        raise PluginError(f"{name} does not implement {' or '.join(hooks)} (a function marked with @hookimpl)")
    return manager


@contextmanager
def blaming(group: str, key: str) -> Iterator[None]:
    """Turn whatever the plugin ``key`` raises inside into an error that names it; ours pass through."""
    try:
        yield
    except XattnmaskError:
        raise
    except (Exception, SystemExit) as error:
        raise _blame(group, find(group, key), error) from error


def name_plugin(group: str, key: str) -> str:
    """A plugin's name in messages: its kind, key and distribution."""
    return _name(group, find(group, key))


def one_line(error: BaseException) -> str:
    """An exception's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _name(group: str, entry: metadata.EntryPoint) -> str:
    return f"{KINDS[group]} plugin {entry.name!r} of {distribution_name(entry)}"


def _blame(group: str, entry: metadata.EntryPoint, error: BaseException) -> XattnmaskError:
    name = _name(group, entry)
    if isinstance(error, ImportError):
        missing = missing_library(error, name, distribution_name(entry), entry.value.partition(":")[0])
        if missing:
            return missing
    return PluginError(f"{name} could not be loaded ({entry.value}): {type(error).__name__}: {one_line(error)}")
