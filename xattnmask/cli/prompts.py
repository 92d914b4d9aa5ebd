"""What a batch of prompts has come to so far."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import FormatError, SettingError

STATE = "batch.json"
FORMAT = "xattnmask/batch"
VERSION = 1


@dataclass
class Item:
    """One prompt of a batch: the folder of its files, and the error that stopped it, if one did."""

    prompt: str
    folder: str
    error: str | None = None


def items(prompts: Sequence[str]) -> list[Item]:
    """The prompts with a folder each, named by number and first words."""
    width = max(4, len(str(len(prompts))))
    return [Item(prompt, f"{number:0{width}}-{_slug(prompt)}".rstrip("-")) for number, prompt in enumerate(prompts, 1)]


def check_state(folder: Path, options: dict[str, Any]) -> None:
    """Refuse to go on with a batch that was begun with other options: its folders would not be alike."""
    try:
        before = json.loads((folder / STATE).read_text(encoding="utf-8"))
        before = before["options"] if before["format"] == FORMAT and before["version"] == VERSION else None
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{folder / STATE} is not the state of a batch: give another --out") from error
    if before != options:
        names = sorted(name for name in {*options, *(before or {})} if (before or {}).get(name) != options.get(name))
        raise SettingError(f"{folder} holds a batch with other options ({', '.join(names)}): give another --out")


def state_text(found: Sequence[Item], options: dict[str, Any]) -> str:
    """What ``batch.json`` holds."""
    return json.dumps({"format": FORMAT, "version": VERSION, "options": options,
                       "prompts": [asdict(item) for item in found]}, indent=2) + "\n"


def _slug(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", prompt.casefold())[:40].strip("-")
