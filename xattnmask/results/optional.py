"""Libraries that only some methods need, imported when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import MissingLibraryError


def pandas() -> Any:
    """The pandas module, or MissingLibraryError with the line to type."""
    return _need("pandas")


def xarray() -> Any:
    """The xarray module, or MissingLibraryError with the line to type."""
    return _need("xarray")


def _need(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibraryError(f'{name} is not installed: pip install "xattnmask[data]"') from error
