"""Studies: questions about explanations, each answered by one command with a table and a plot."""

from __future__ import annotations

from importlib import import_module

from ..errors import UnknownKeyError
from ..plugins.discovery import nearest
from .base import Finding, Setup, Study

__all__ = ["Finding", "Setup", "Study", "list_studies", "load_study"]

_STUDIES = {
    "ablation": ("variants", "ABLATION"),
    "layers": ("variants", "LAYERS"),
    "temperature": ("variants", "TEMPERATURE"),
    "aggregation": ("aggregation", "AGGREGATION"),
    "context": ("variants", "CONTEXT"),
    "diffusion": ("diffusion", "DIFFUSION"),
    "sanity": ("sanity", "SANITY"),
    "bias": ("bias", "BIAS"),
    "listening": ("listening", "LISTENING"),
    "tuning": ("tuning", "TUNING"),
}
"""Module and object of each study; a module is imported when its study is asked for."""


def list_studies() -> list[Study]:
    """All studies, in the order of the documentation."""
    return [load_study(name) for name in _STUDIES]


def load_study(name: str) -> Study:
    """A study by its name; raises UnknownKeyError, which offers the nearest ones."""
    if name not in _STUDIES:
        raise UnknownKeyError(f"no study {name!r}: {nearest(name, _STUDIES)}")
    module, found = _STUDIES[name]
    study: Study = getattr(import_module(f".{module}", __name__), found)
    return study
