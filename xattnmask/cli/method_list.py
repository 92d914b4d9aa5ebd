"""Attribution methods and settings, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..errors import SettingError
from ..plugins.discovery import METHODS, find


def parse_methods(text: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Methods by what was typed: ``learned,learned:steps=10:context=none,attention``.

    A value is read as JSON or as Python's True, False or None where it can be, else as text.

    Raises:
        SettingError: a part is malformed, or stands there twice.
        UnknownKeyError: no such method; the message offers the nearest names.
    """
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, *settings = part.split(":")
        pairs = [setting.partition("=") for setting in settings]
        if part in found or not all(name and sign and value for name, sign, value in pairs):
            raise SettingError(f"methods are NAME or NAME:SETTING=VALUE, each once, not {part!r}")
        find(METHODS, key)
        found[part] = key, {name: _value(value) for name, _, value in pairs}
    return found


def parse_settings(given: Sequence[str], option: str) -> dict[str, Any]:
    """Settings that were typed as ``NAME=VALUE``; a value is read as JSON where it can be. Raises SettingError."""
    pairs = [text.partition("=") for text in given]
    found = {name: _value(value) for name, _, value in pairs}
    if not all(name and sign and value for name, sign, value in pairs) or len(found) < len(pairs):
        raise SettingError(f"{option} takes NAME=VALUE, each name once")
    return found


def _value(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


_WORDS = {"True": True, "False": False, "None": None}
"""What Python's documentation calls these values, beside JSON's true, false and null."""
