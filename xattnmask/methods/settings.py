"""Settings of attribution methods: dataclasses filled by keyword, every wrong name or value an error."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from ..errors import SettingError

S = TypeVar("S")


def settings_of(kind: type[S], method: str, given: Mapping[str, Any]) -> S:
    """An instance of the settings dataclass ``kind``; raises SettingError for a name it does not have."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has: {', '.join(known) or 'none'}"
            raise SettingError(f"method {method!r} has no setting {name!r}; {hint}")
    return kind(**given)


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise SettingError unless ``low <= value <= high`` and finite."""
    if not low <= value <= high or value == float("inf"):
        limit = f"at least {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
        raise SettingError(f"{name} must be {limit}, not {value:g}")
