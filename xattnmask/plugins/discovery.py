"""What is on offer, from the metadata of installed distributions alone: nothing named here is imported."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from ..errors import PluginConflictError, UnknownKeyError

ADAPTERS = "xattnmask.adapters"
CHECKPOINTS = "xattnmask.checkpoints"
JUDGES = "xattnmask.judges"
METHODS = "xattnmask.methods"
LISTENERS = "xattnmask.listeners"
WORLDS = "xattnmask.worlds"

KINDS = {ADAPTERS: "model", CHECKPOINTS: "checkpoint", JUDGES: "judge", METHODS: "method", LISTENERS: "listener",
         WORLDS: "world"}
"""Entry-point groups, and what people call the things in them."""

_HOW_TO_INSTALL = {
    ADAPTERS: "each adapter is a package of its own, for example: pip install xattnmask-transformers",
    METHODS: "the built-in ones come with xattnmask itself; install it: pip install xattnmask",
}


@dataclass(frozen=True)
class Offer:
    """One thing that an installed distribution offers.

    Attributes:
        group: the entry-point group.
        key: the name users type.
        distribution: the distribution that offers it, as pip knows it.
        version: that distribution's version.
        value: the object named by the entry point, ``module`` or ``module:attribute``.
        status: ``conflict`` when another entry claims the same key, else ``ok``.
    """

    group: str
    key: str
    distribution: str
    version: str
    value: str
    status: Literal["ok", "conflict"] = "ok"


def offers(group: str) -> list[Offer]:
    """Everything offered in an entry-point group, sorted by key; no plugin is imported."""
    entries = _entries(group)
    keys = [entry.name for entry in entries]
    return [
        Offer(
            group,
            entry.name,
            distribution_name(entry),
            distribution_version(entry),
            entry.value,
            "conflict" if keys.count(entry.name) > 1 else "ok",
        )
        for entry in entries
    ]


def keys(group: str) -> list[str]:
    """The keys offered in a group, sorted, each once."""
    return sorted({entry.name for entry in _entries(group)})


def find(group: str, key: str) -> metadata.EntryPoint:
    """The one entry point with ``key`` in ``group``.

    Raises:
        UnknownKeyError: nobody offers the key; the message offers the nearest names.
        PluginConflictError: more than one distribution claims it.
    """
    entries = _entries(group)
    found = [entry for entry in entries if entry.name == key]
    if not found:
        raise unknown_key(group, key, [entry.name for entry in entries])
    if len(found) > 1:
        claims = " and ".join(f"{distribution_name(entry)} ({entry.value})" for entry in found)
        raise PluginConflictError(f"{KINDS[group]} {key!r} is claimed by {claims}: uninstall all but one of them")
    return found[0]


def unknown_key(group: str, key: str, known: Iterable[str]) -> UnknownKeyError:
    """The error for a key nobody offers: nearest names, or all of them, or how to get any."""
    kind, known = KINDS[group], sorted(set(known))
    if not known:
        return UnknownKeyError(f"no {kind} {key!r}: {nothing_installed(group)}")
    return UnknownKeyError(f"no {kind} {key!r}: {nearest(key, known)}")


def nothing_installed(group: str) -> str:
    """What to tell who has no plugin of a group at all."""
    advice = _HOW_TO_INSTALL.get(group, f"install a package that offers {KINDS[group]}s")
    return f"no {KINDS[group]} is installed ({advice})"


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean ...?`` with the names nearest to ``word``, or the list of all when none is near."""
    known = sorted(set(known))
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"there is {', '.join(known)}"


def distribution_name(entry: metadata.EntryPoint) -> str:
    """The distribution an entry point belongs to, as pip knows it."""
    return _metadata(entry, "Name")


def distribution_version(entry: metadata.EntryPoint) -> str:
    """The version of the distribution an entry point belongs to."""
    return _metadata(entry, "Version")


def _metadata(entry: metadata.EntryPoint, field: str) -> str:
    try:
        value = entry.dist.metadata[field] if entry.dist else None
    except Exception:  # a damaged installation must not stop the listing of the others
        value = None
    return value or "unknown"


def _entries(group: str) -> list[metadata.EntryPoint]:
    """Entry points of a group; one that a distribution lists twice counts once."""
    found = metadata.entry_points(group=group)
    unique = {(entry.name, distribution_name(entry), entry.value): entry for entry in found}
    return [unique[identity] for identity in sorted(unique)]
