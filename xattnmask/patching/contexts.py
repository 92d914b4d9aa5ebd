"""What history an autoregressive model sees while it is replayed: the contexts ``none`` and ``frozen``.

``joint``, the third, needs no patch. Enter these inside of a mask's patch, never around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from ..adapter import Adapter
from ..sites import Site
from .intercept import PatchRecord, intercept
from .interventions import FrozenHistory, KeysValues, OwnPositionOnly, RecordKeysValues
from .select import select_sites


def no_history(model: Adapter, num_tokens: int) -> AbstractContextManager[PatchRecord]:
    """Context ``none``: while open, each position sees itself and the text, no other position."""
    return intercept(model.backbone, [(s, OwnPositionOnly()) for s in _self_sites(model, num_tokens)], _all_rows)


@contextmanager
def record_history(model: Adapter, num_tokens: int) -> Iterator[Mapping[str, KeysValues]]:
    """Record the self-attention keys and values of the clean pass made while open; yields what fills up."""
    record = RecordKeysValues()
    with intercept(model.backbone, [(s, record) for s in _self_sites(model, num_tokens)], _all_rows):
        yield record.recorded


def frozen_history(
    model: Adapter, num_tokens: int, recorded: Mapping[str, KeysValues]
) -> AbstractContextManager[PatchRecord]:
    """Context ``frozen``: while open, each position sees the recorded history, and itself as it is now."""
    frozen = FrozenHistory(recorded)
    return intercept(model.backbone, [(s, frozen) for s in _self_sites(model, num_tokens)], _all_rows)


def _self_sites(model: Adapter, num_tokens: int) -> list[Site]:
    return select_sites(model.sites(num_tokens), roles=("self",))


def _all_rows(batch: int) -> slice:
    return slice(0, batch)
