"""Showing explanations: in the terminal, as figures and as pages. Never needs torch; each part is loaded when used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .figure import heatmap as heatmap
    from .maps import map_plot as map_plot
    from .pages import comparison_report as comparison_report
    from .pages import edit_report as edit_report
    from .pages import index_page as index_page
    from .pages import report as report
    from .plots import comparison_plot as comparison_plot
    from .plots import steps_plot as steps_plot
    from .plots import words_plot as words_plot
    from .terminal import format_words as format_words
    from .terminal import print_words as print_words

_HOMES = {
    "figure": ("heatmap",),
    "maps": ("map_plot",),
    "plots": ("comparison_plot", "steps_plot", "words_plot"),
    "pages": ("comparison_report", "edit_report", "index_page", "report"),
    "terminal": ("format_words", "print_words"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "comparison_plot",
    "comparison_report",
    "edit_report",
    "format_words",
    "heatmap",
    "index_page",
    "map_plot",
    "print_words",
    "report",
    "steps_plot",
    "words_plot",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value  # the function, also where importing made a module of the same name an attribute
    return value
