"""Which layers of a backbone are patched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ..errors import SettingError
from ..sites import Role, Site

_READERS: tuple[Role, ...] = ("cross", "prefix")

Layers: TypeAlias = Literal["first", "middle", "last", "all"] | Sequence[int]


def reading_sites(
    sites: Sequence[Site], layers: Layers = "all", *, streams: Sequence[str] | None = None
) -> list[Site]:
    """Where words reach the audio: the ``cross`` or ``prefix`` sites of each stream.

    Of a stream whose tokens the audio never reads one by one (its text encoder hands on one vector), the text encoder.

    Raises:
        SettingError: as :func:`select_sites`.
    """
    read = {site.stream for site in sites if site.role in _READERS}
    entries = [s for s in sites if s.role != "text-encoder" or s.stream not in read]
    return masked_sites(entries, layers, roles=(*_READERS, "text-encoder"), streams=streams)


def masked_sites(
    sites: Sequence[Site], layers: Layers, *, roles: Sequence[Role], streams: Sequence[str] | None
) -> list[Site]:
    """As :func:`select_sites`, with text encoders in all layers: a word leaks through any layer left out."""
    found = select_sites(sites, roles=roles, streams=streams)
    readers = [s for s in found if s.role != "text-encoder"]
    chosen = select_sites(readers, layers, roles=roles) if readers else []
    return chosen + [s for s in found if s.role == "text-encoder"]


def select_sites(
    sites: Sequence[Site], layers: Layers = "all", *, roles: Sequence[Role] = ("cross",),
    streams: Sequence[str] | None = None,
) -> list[Site]:  # fmt: skip
    """The sites of the given roles, streams and layers, in their order.

    Args:
        layers: ``first``, ``middle`` or ``last`` third of the layers (never none: one layer is all three), ``all``, or
            layer indices. Layers are counted within each role and stream.
        roles: the roles wanted.
        streams: names of text streams; all by default.

    Raises:
        SettingError: no site has such a role and stream, or a layer does not exist.
    """
    wanted = [s for s in sites if s.role in roles and (streams is None or s.stream in streams)]
    if not wanted:
        offered = sorted({(s.role, s.stream) for s in sites})
        raise SettingError(
            f"no site has a role among {list(roles)} and a stream among {'all' if streams is None else list(streams)}; "
            f"this model offers (role, stream) {offered}"
        )
    unknown = set(streams or ()) - {s.stream for s in wanted}
    if unknown:
        raise SettingError(f"unknown streams {sorted(unknown)}; these roles have {sorted({s.stream for s in wanted})}")
    numbers: dict[tuple[str, str], set[int]] = {}
    for site in wanted:
        numbers.setdefault((site.role, site.stream), set()).add(site.layer)
    chosen = {group: _choose(sorted(found), layers) for group, found in numbers.items()}
    if not isinstance(layers, str):
        _check_known(layers, set().union(*numbers.values()))
    return [s for s in wanted if s.layer in chosen[s.role, s.stream]]


def _choose(numbers: list[int], layers: Layers) -> set[int]:
    if not isinstance(layers, str):
        return {int(n) for n in layers}
    count = len(numbers)
    third = max(1, round(count / 3))
    thirds = {
        "all": numbers,
        "first": numbers[:third],
        "last": numbers[-third:],
        "middle": numbers[third : count - third] or numbers[(count - 1) // 2 : count // 2 + 1],
    }
    if layers not in thirds:
        raise SettingError(f"layers must be 'first', 'middle', 'last', 'all' or layer indices, not {layers!r}")
    return set(thirds[layers])


def _check_known(layers: Sequence[int], known: set[int]) -> None:
    if not layers:
        raise SettingError("no layer given: name at least one")
    unknown = sorted({int(n) for n in layers} - known)
    if unknown:
        raise SettingError(f"unknown layers {unknown}: this model has layers {min(known)} to {max(known)}")
