"""What a plugin says of itself in one line: the first line of its module's docstring, read without importing it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec

from .discovery import Offer


def summary(offer: Offer) -> str:
    """The first line of the docstring of the offer's module; empty where there is none, or no source to be read.

    The module is found as an import would find it, and neither it nor a package above it is run.
    """
    try:
        spec = _find(offer.value.partition(":")[0])
        source = spec.loader.get_source(spec.name) if spec and spec.loader else None  # type: ignore[attr-defined]
        lines = (ast.get_docstring(ast.parse(source or "")) or "").splitlines()
    except Exception:  # a loader without source, a file that is no Python: listing must not fail for one plugin
        return ""
    return lines[0] if lines else ""


def _find(module: str) -> ModuleSpec | None:
    """The module's spec; importlib.util.find_spec would import the packages above it."""
    spec, path, name = None, None, ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = _ask_finders(name, path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


def _ask_finders(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None
