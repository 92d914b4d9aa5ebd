"""Showing explanations: in the terminal and as figures. Never needs torch; each part is loaded when used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .figure import heatmap as heatmap
    from .terminal import format_words as format_words
    from .terminal import print_words as print_words

__all__ = ["format_words", "heatmap", "print_words"]


def __getattr__(name: str) -> Any:
    if name == "heatmap":
        from .figure import heatmap

        return heatmap
    if name in ("format_words", "print_words"):
        from . import terminal

        return getattr(terminal, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
