"""A table of words and how much each mattered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

from .bars import format_rows
from .optional import pandas


@dataclass(frozen=True)
class WordScore:
    """One word, its character span in the prompt, and its importance (higher matters more)."""

    text: str
    start: int
    end: int
    importance: float


class WordTable(Sequence[WordScore]):
    """An immutable sequence of :class:`WordScore`, in the order of the prompt unless sorted.

    The same word typed twice is two rows, told apart by their spans. ``print(table)`` shows bars.
    """

    def __init__(self, rows: Sequence[WordScore] = ()) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> WordScore: ...
    @overload
    def __getitem__(self, index: slice) -> WordTable: ...
    def __getitem__(self, index: int | slice) -> WordScore | WordTable:
        return WordTable(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __eq__(self, other: object) -> bool:
        return self._rows == other._rows if isinstance(other, WordTable) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._rows)

    def __repr__(self) -> str:
        return f"WordTable({list(self._rows)!r})"

    def __str__(self) -> str:
        return format_rows([(row.text, row.importance) for row in self._rows])

    def sorted(self) -> WordTable:
        """The most important word first; equal ones keep the order of the prompt."""
        return WordTable(sorted(self._rows, key=lambda row: -row.importance))

    def as_dicts(self) -> list[dict[str, Any]]:
        """Rows as JSON-able dicts with the keys text, start, end, importance."""
        return [{"text": row.text, "start": row.start, "end": row.end, "importance": row.importance}
                for row in self._rows]

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with the columns text, start, end, importance.

        Raises:
            MissingLibraryError: pandas is not installed.
        """
        return pandas().DataFrame(self.as_dicts(), columns=["text", "start", "end", "importance"])

    def _repr_html_(self) -> str:
        from ..html import table_html

        return table_html(self)
