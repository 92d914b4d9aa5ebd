"""The page of a batch, which links its reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ...results.table import WordTable


@dataclass(frozen=True)
class Entry:
    """One prompt of a batch: its folder's name, its words, or the error that stopped it; with neither, not yet done.

    ``report``: whether the folder holds a report to link.
    """

    prompt: str
    folder: str
    words: WordTable | None = None
    error: str | None = None
    report: bool = True


def index_data(entries: Sequence[Entry]) -> dict[str, Any]:
    """Everything the template ``index.html`` needs."""
    return {"entries": [_row(entry) for entry in entries],
            "done": sum(entry.words is not None for entry in entries),
            "failed": sum(entry.error is not None for entry in entries)}


def _row(entry: Entry) -> dict[str, Any]:
    top = [] if entry.words is None else [(row.text, f"{row.importance:.2f}") for row in entry.words.sorted()[:3]]
    return {"prompt": entry.prompt, "error": entry.error, "top": top,
            "done": entry.words is not None,
            "link": f"{quote(entry.folder)}/report.html" if entry.words is not None and entry.report else None}
