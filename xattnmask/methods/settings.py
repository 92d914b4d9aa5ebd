"""Settings of attribution methods: dataclasses filled by keyword, every wrong name or value an error."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from ..errors import SettingError
from ..replaying import check_choice

S = TypeVar("S")


def settings_of(kind: type[S], method: str, given: Mapping[str, Any]) -> S:
    """An instance of the settings dataclass ``kind``.

    Raises SettingError for a name it does not have, and for what is neither True nor False where one of them is due.
    """
    defaults = {field.name: field.default for field in fields(kind)}  # type: ignore[arg-type]
    known = list(defaults)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has: {', '.join(known) or 'none'}"
            raise SettingError(f"method {method!r} has no setting {name!r}; {hint}")
        if isinstance(defaults[name], bool) and not isinstance(given[name], bool):
            raise SettingError(f"{name} must be True or False, not {given[name]!r}")
    return kind(**given)


def check_choices(settings: Any, choices: Mapping[str, Sequence[str]]) -> None:
    """Raise SettingError unless each named field is one of its choices, or None where that is its default."""
    for name, offered in choices.items():
        value = getattr(settings, name)
        if value is not None or getattr(type(settings), name) is not None:
            check_choice(name, value, offered)


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise SettingError unless ``low <= value <= high`` and finite."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high or abs(value) == float("inf"):
        raise SettingError(f"{name} must be {_limits('a number', low, high)}, not {value!r}")


def check_whole(name: str, value: int, low: int, high: float = float("inf")) -> None:
    """Raise SettingError unless ``value`` is an int with ``low <= value <= high``."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SettingError(f"{name} must be {_limits('a whole number', low, high)}, not {value!r}")


def _limits(kind: str, low: float, high: float) -> str:
    if high < float("inf"):
        return f"{kind} from {low:g} to {high:g}"
    return f"{kind}, at least {low:g}" if low > -float("inf") else f"{kind}, finite"
