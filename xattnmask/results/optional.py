"""Libraries that only some methods need, imported when they are first used."""

from __future__ import annotations

from typing import Any

from ..optional import need


def pandas() -> Any:
    """The pandas module, or MissingLibraryError with the line to type."""
    return need("pandas", "data")


def xarray() -> Any:
    """The xarray module, or MissingLibraryError with the line to type."""
    return need("xarray", "data")
