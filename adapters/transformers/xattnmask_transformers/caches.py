"""Where a query stands under transformers' key-value cache.

The cache reaches an attention module as ``cache`` (transformers 5) or ``past_key_values`` (4, and until 5.40).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def self_offset(layer: int) -> Callable[[Mapping[str, Any]], int]:
    """Offset at a self-attention, which runs before it adds its own keys to the cache."""

    def offset(arguments: Mapping[str, Any]) -> int:
        return _cached(arguments, layer)

    return offset


def cross_offset(layer: int) -> Callable[[Mapping[str, Any]], int]:
    """Offset at a cross-attention, which runs after the layer's self-attention added the queries' own keys."""

    def offset(arguments: Mapping[str, Any]) -> int:
        queries: int = arguments["hidden_states"].shape[1]
        return max(_cached(arguments, layer) - queries, 0)

    return offset


def _cached(arguments: Mapping[str, Any], layer: int) -> int:
    cache = arguments.get("cache", arguments.get("past_key_values"))
    if cache is None:
        return 0
    return int(getattr(cache, "self_attention_cache", cache).get_seq_length(layer))
