"""Listeners: plugins that are told of every step of an explanation (progress bars, experiment trackers)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pluggy

from ..errors import PluginError, XattnmaskError
from . import discovery
from .discovery import LISTENERS
from .loader import HOOKS, load_plugin, managed, one_line

if TYPE_CHECKING:
    from ..events import RunStart, StepEvent
    from ..results import Explanation

_registered: dict[int, tuple[object, pluggy.PluginManager]] = {}
_installed: dict[tuple[str, str], pluggy.PluginManager | None] = {}


class PluginWarning(UserWarning):
    """A listener is broken and was left out; the message names it."""


class Relay:
    """Passes the events of one explanation on to its listeners, in the order they were registered.

    A listener that raises is warned about by name and hears no more of this explanation; the others, and the
    explanation, go on. KeyboardInterrupt passes through.
    """

    def __init__(self, managers: list[pluggy.PluginManager]) -> None:
        self._managers = list(managers)

    def xattnmask_start(self, run: RunStart) -> None:
        """An explanation starts."""
        self._call("xattnmask_start", run=run)

    def xattnmask_step(self, event: StepEvent) -> None:
        """One step is done."""
        self._call("xattnmask_step", event=event)

    def xattnmask_end(self, explanation: Explanation) -> None:
        """The explanation is ready."""
        self._call("xattnmask_end", explanation=explanation)

    def _call(self, hook: str, **arguments: Any) -> None:
        for manager in list(self._managers):
            try:
                getattr(manager.hook, hook)(**arguments)
            except Exception as error:
                self._managers.remove(manager)
                name = manager.list_name_plugin()[0][0]
                _warn(f"{name} failed in {hook} and is left out: {type(error).__name__}: {one_line(error)}")


def register(plugin: object) -> None:
    """Let ``plugin`` listen to all explanations from now on; registering it again changes nothing.

    Args:
        plugin: an object or module with ``xattnmask_start``, ``xattnmask_step`` or ``xattnmask_end`` marked
            ``@xattnmask.hookimpl``; each takes the arguments it wants of its specification, or none.

    Raises:
        PluginError: it has none of these hooks, or one that does not match its specification.
    """
    if isinstance(plugin, type):
        raise PluginError(f"register an instance of {plugin.__name__}, not the class")
    if id(plugin) not in _registered:
        _registered[id(plugin)] = plugin, managed(plugin, f"listener {_title(plugin)}", HOOKS[LISTENERS])


def unregister(plugin: object) -> None:
    """Let ``plugin`` listen no more; PluginError if it was not registered."""
    if _registered.pop(id(plugin), None) is None:
        raise PluginError(f"listener {_title(plugin)} is not registered")


def listeners() -> Relay:
    """A relay to the registered listeners and to those of installed plugins, which are imported now, once."""
    installed = [_load(offer) for offer in discovery.offers(LISTENERS)]
    return Relay([manager for _, manager in _registered.values()] + [manager for manager in installed if manager])


def _load(offer: discovery.Offer) -> pluggy.PluginManager | None:
    """The manager of an installed listener, or None when it is broken, which is warned about once."""
    claim = offer.status if offer.status == "conflict" else f"{offer.distribution} {offer.version} {offer.value}"
    identity = offer.key, claim
    if identity not in _installed:
        try:
            _installed[identity] = load_plugin(LISTENERS, offer.key)
        except XattnmaskError as error:
            _installed[identity] = None
            _warn(f"{error} (left out)")
    return _installed[identity]


def _title(plugin: object) -> str:
    return getattr(plugin, "__name__", None) or type(plugin).__name__


def _warn(message: str) -> None:
    warnings.warn(message, PluginWarning, stacklevel=4)
