"""Files of prompts: text with one a line, or a CSV with a column of captions."""

from __future__ import annotations

import csv
from pathlib import Path

from .errors import FormatError

COLUMN = "caption"
Row = tuple[str, dict[str, str]]


def read_prompts(path: Path) -> list[str]:
    """The prompts of a text file, one a line, or of the column ``caption`` of a CSV; empty ones are left out.

    Raises:
        FormatError: the file is missing, not UTF-8, without that column, or without a prompt.
    """
    return [prompt for prompt, _ in read_rows(path)]


def read_rows(path: Path) -> list[Row]:
    """As :func:`read_prompts`, each prompt with what the other columns of a CSV say of it, text by column."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = _rows(text, path) if path.suffix.lower() == ".csv" else [(line, {}) for line in text.splitlines()]
    except OSError as error:
        raise FormatError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not UTF-8 text") from error
    except csv.Error as error:
        raise FormatError(f"cannot read {path} as CSV: {error}") from error
    rows = [(" ".join(prompt.split()), columns) for prompt, columns in found if prompt.strip()]
    if not rows:
        raise FormatError(f"{path} holds no prompt")
    return rows


def _rows(text: str, path: Path) -> list[Row]:
    rows = csv.DictReader(text.splitlines(keepends=True), strict=True)
    names = rows.fieldnames or []
    if COLUMN not in names:
        raise FormatError(f"{path} has no column {COLUMN!r}: it has {', '.join(names) or 'none'}")
    others = [name for name in names if name != COLUMN]
    return [(row[COLUMN] or "", {name: row[name] or "" for name in others}) for row in rows]
