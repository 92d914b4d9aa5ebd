"""The folder of an evaluation: a file for each prompt that is done, so that it can go on after an interruption."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import FormatError, SettingError
from ..plugins.offers import Case
from ..results.files import check_writable, write_file

SETTINGS, PROMPTS = "settings.json", "prompts"
FORMAT, VERSION = "xattnmask/evaluation", 1
Row = dict[str, Any]


class Store:
    """Rows by number of the prompt, each prompt in a file that is whole or not there.

    Args:
        folder: made if need be.
        settings: what shapes the results; a folder that holds those of other settings is refused.
        cases: the prompts; those that are done must be the same under the same number.

    Raises:
        OutputError: the folder cannot be written.
        SettingError: it holds results of other settings or prompts.
        FormatError: it holds something else under the names used here.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], cases: Sequence[Case]) -> None:
        self.folder = check_writable(folder)
        self._cases = cases
        self._check(settings)
        self._write(self.folder / SETTINGS, {"settings": settings})

    def finished(self) -> dict[int, list[Row]]:
        """Rows of the prompts that are done without an error, by number; those that failed are done again."""
        found = {number: self._read(number) for number in range(len(self._cases)) if self._path(number).exists()}
        return {number: rows for number, rows in found.items() if not any(row["error"] for row in rows)}

    def write(self, number: int, rows: list[Row]) -> None:
        """Keep the rows of one prompt."""
        self._write(self._path(number), {"prompt": self._cases[number].prompt, "rows": clean(rows)})

    def _path(self, number: int) -> Path:
        return self.folder / PROMPTS / f"{number + 1:06}.json"

    def _read(self, number: int) -> list[Row]:
        path, case = self._path(number), self._cases[number]
        content = _content(path)
        if content.get("prompt") != case.prompt:
            raise SettingError(f"{self.folder} holds other prompts (number {number + 1} is {content.get('prompt')!r}): "
                               "give another folder")
        rows = content.get("rows")
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "error" in row for row in rows):
            raise FormatError(f"{path} does not hold the rows of a prompt: delete it")
        return rows

    def _check(self, settings: dict[str, Any]) -> None:
        path = self.folder / SETTINGS
        if not path.exists():
            return
        before = _content(path).get("settings") or {}
        names = sorted(name for name in {*settings, *before} if before.get(name) != settings.get(name))
        if names:
            raise SettingError(f"{self.folder} holds an evaluation with other settings ({', '.join(names)}): give "
                               "another folder")

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        text = json.dumps({"format": FORMAT, "version": VERSION, **content}, indent=1, allow_nan=False) + "\n"
        write_file(path, lambda place: place.write_text(text, encoding="utf-8"))


def clean(rows: Sequence[Row]) -> list[Row]:
    """Rows as JSON can hold them: None in place of NaN and infinity, plain numbers, lists."""
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] == FORMAT and content["version"] == VERSION:
            return dict(content)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise FormatError(f"{path} is not of an evaluation: give another folder")
