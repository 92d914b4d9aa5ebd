"""Libraries that only some parts need: extras, imported when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import MissingLibraryError


def need(module: str, extra: str) -> Any:
    """A module of an optional library; raises MissingLibraryError with the line to type, which names the extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise MissingLibraryError(f'{name} is not installed: pip install "xattnmask[{extra}]"') from error
