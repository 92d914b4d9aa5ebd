"""The result of an evaluation: rows, and their summary by method with intervals and paired tests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..metrics.statistics import Interval, holm, mean_with_interval, paired_difference, paired_p_value
from ..optional import need
from ..results.files import write_files

SCORES = {
    "frame_auc": "frame AUC", "frame_ap": "frame AP", "word_auc": "word AUC", "pointing": "pointing",
    "fid_f": "Fid_F", "fid_f_top": "Fid_F (top)", "kl_f": "KL_F", "fid_cf": "Fid_CF", "fid_cf_top": "Fid_CF (top)",
    "kl_cf": "KL_CF", "size": "Size", "deletion": "deletion", "insertion": "insertion", "infidelity": "infidelity",
    "sensitivity": "sensitivity", "seconds": "seconds",
}  # fmt: skip
"""Columns that are summed up, in the order of the summary, and what they are called there."""
_NOT_COMPARED = ("size", "seconds")


@dataclass(frozen=True)
class SummaryRow:
    """One score of one method over the prompts.

    Attributes:
        method, score: which; ``score`` is a column of the rows.
        prompts: how many have it.
        mean, low, high: the mean over prompts and its 95 % interval by bootstrap.
        difference, difference_low, difference_high: the mean of this less the first method's, over prompts that have
            both, with its interval; None for the first method.
        p: of that difference by a paired permutation test; ``p_holm``: adjusted for all tests of the summary.
    """

    method: str
    score: str
    prompts: int
    mean: float
    low: float
    high: float
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    p_holm: float | None = None


class Evaluation:
    """A row for each prompt and method; ``print`` shows the summary.

    ``evaluation["fid_f"]`` is a column as an array (NaN where it is missing), ``to_dataframe()`` the whole table.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> None:
        self.rows, self.methods = [dict(row) for row in rows], tuple(methods)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, column: str) -> np.ndarray:
        if column not in self.columns:
            raise KeyError(f"no column {column!r}: there is {', '.join(self.columns)}")
        values = [row.get(column) for row in self.rows]
        numbers = all(value is None or isinstance(value, (int, float)) for value in values)
        return np.array([np.nan if value is None else value for value in values], float) if numbers else np.array(
            values, dtype=object)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order of first appearance."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row if name != "words"))

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The rows that failed."""
        return [row for row in self.rows if row["error"]]

    def to_dataframe(self) -> Any:
        """A pandas DataFrame of all columns. Raises MissingLibraryError."""
        return need("pandas", "evaluate").DataFrame(self.rows, columns=list(self.columns))

    @cached_property
    def summary(self) -> list[SummaryRow]:
        """Each score of each method, the first method compared with the others. Raises MissingLibraryError (scipy)."""
        scores = [score for score in SCORES if any(row.get(score) is not None for row in self.rows)]
        values = {(method, score): self._values(method, score) for method in self.methods for score in scores}
        found = [self._summed(method, score, values) for score in scores for method in self.methods]
        adjusted = holm([float("nan") if row.p is None else row.p for row in found])
        return [row if row.p is None else SummaryRow(**{**asdict(row), "p_holm": p})
                for row, p in zip(found, adjusted, strict=True)]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write results.csv, results.parquet, summary.csv and summary.md into ``folder``; all or none.

        Raises:
            OutputError: the folder cannot be written.
            MissingLibraryError: pandas or pyarrow is not installed.
        """
        need("pyarrow", "evaluate")
        rows = self.to_dataframe()
        summary = need("pandas", "evaluate").DataFrame([asdict(row) for row in self.summary])
        write_files(folder, {
            "results.csv": lambda path: rows.to_csv(path, index=False),
            "results.parquet": lambda path: rows.to_parquet(path, index=False),
            "summary.csv": lambda path: summary.to_csv(path, index=False),
            "summary.md": lambda path: path.write_text(self.to_markdown(), encoding="utf-8"),
        })  # fmt: skip

    def to_markdown(self) -> str:
        """The summary as a table: a row for each method, means with intervals.

        A star marks what differs from the first method (p < .05 after Holm).
        """
        scores = list(dict.fromkeys(row.score for row in self.summary))
        cells = {(row.method, row.score): _cell(row) for row in self.summary}
        head = ["method", *(SCORES[score] for score in scores)]
        lines = [head, ["---"] * len(head)]
        lines += [[method, *(cells[method, score] for score in scores)] for method in self.methods]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

    def __str__(self) -> str:
        prompts, failed = len({row["number"] for row in self.rows}), len(self.errors)
        noted = f", {failed} rows failed" if failed else ""
        return f"{prompts} prompts, {len(self.methods)} methods{noted}\n{self.to_markdown()}"

    def _values(self, method: str, score: str) -> np.ndarray:
        """A score by prompt, NaN where it is missing: the same prompts in the same order for all methods."""
        found = [row.get(score) for row in self.rows if row["method"] == method]
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)

    def _summed(self, method: str, score: str, values: Mapping[tuple[str, str], np.ndarray]) -> SummaryRow:
        own, first = values[method, score], values[self.methods[0], score]
        mean = mean_with_interval(own)
        row = SummaryRow(method, score, int((~np.isnan(own)).sum()), *mean)
        if method == self.methods[0] or score in _NOT_COMPARED:
            return row
        difference: Interval = paired_difference(own, first)
        return SummaryRow(method, score, row.prompts, *mean, *difference, paired_p_value(own, first))


def _cell(row: SummaryRow) -> str:
    if not row.prompts:
        return ""
    star = "*" if row.p_holm is not None and row.p_holm < 0.05 else ""
    return f"{row.mean:.3f}{star} [{row.low:.3f}, {row.high:.3f}]"
