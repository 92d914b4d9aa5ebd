"""What a study is given, and what it finds: a table and a plot."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingError
from ..metrics.statistics import Interval
from ..optional import need
from ..results.files import check_writable, write_files

if TYPE_CHECKING:
    from ..adapter import Adapter
    from ..evaluation.run import OnPrompt
    from ..plugins.offers import Case, Judge, World


@dataclass(frozen=True)
class Setup:
    """What a study runs on.

    Attributes:
        model: a loaded model.
        prompts: cases, or None for those of ``world``.
        world, judge: as in :func:`xattnmask.evaluate`.
        out: folder of the study; those that evaluate methods go on there after an interruption.
        limit, split, seed, duration, guidance, repeats: as in :func:`xattnmask.evaluate`.
        options: what this study alone takes, text by name (see each study).
        on_prompt: called after each prompt with how many are done, of how many, and its rows.
        generate: as in :func:`xattnmask.evaluate`.
    """

    model: Adapter
    prompts: Sequence[Case] | None = None
    world: World | None = None
    judge: Judge | None = None
    out: Path | None = None
    limit: int | None = None
    split: str = "test"
    seed: int = 0
    duration: float | None = None
    guidance: float | None = None
    repeats: int = 3
    options: Mapping[str, str] = field(default_factory=dict)
    on_prompt: OnPrompt | None = None
    generate: Mapping[str, Any] = field(default_factory=dict)

    def cases(self, default: int) -> list[Case]:
        """The prompts to run on; of a world ``default`` of them when no limit is given."""
        if self.prompts is not None:
            return list(self.prompts)[: self.limit]
        if self.world is None:
            raise SettingError("this study needs prompts or a world")
        return list(self.world.cases(self.limit or default, split=self.split))

    def sound_settings(self) -> dict[str, Any]:
        """Arguments of ``generate`` that were given."""
        given = {"duration": self.duration, "guidance": self.guidance}
        return {**self.generate, **{name: value for name, value in given.items() if value is not None}}

    def told(self, done: int, total: int, rows: Sequence[dict[str, Any]]) -> None:
        """Say that a prompt is done."""
        if self.on_prompt is not None:
            self.on_prompt(done, total, rows)


@dataclass(frozen=True)
class Panel:
    """One plot: a mean with its interval for each label; ``ordered`` labels are joined by a line.

    ``others`` are of a second kind at the same labels; ``names`` says what both are.
    """

    title: str
    labels: tuple[str, ...]
    intervals: tuple[Interval, ...]
    ordered: bool = False
    others: tuple[Interval, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a study found.

    Attributes:
        study: its name.
        rows: all that was measured, for the CSV.
        table: what it comes to, as a Markdown table.
        panels: what is plotted.
        notes: sentences that go with the table.
    """

    study: str
    rows: Sequence[Mapping[str, Any]]
    table: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.table, *self.notes])

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write STUDY.csv, STUDY.md and STUDY.svg into ``folder``, all or none; returns their paths.

        Raises:
            OutputError: the folder cannot be written.
            MissingLibraryError: pandas is not installed.
        """
        from .plot import draw

        place, table = check_writable(folder), need("pandas", "evaluate").DataFrame(list(self.rows))
        text = "\n".join([self.table, *(f"{note}\n" for note in self.notes)])
        writers: dict[str, Any] = {
            f"{self.study}.csv": lambda path: table.to_csv(path, index=False),
            f"{self.study}.md": lambda path: path.write_text(text, encoding="utf-8"),
            f"{self.study}.svg": lambda path: draw(self.panels, path),
        }  # fmt: skip
        write_files(place, writers)
        return [place / name for name in writers]


class Study(ABC):
    """One question."""

    name: str
    question: str
    """In one line, for the list of studies."""
    options: Mapping[str, str] = {}
    """What it alone takes, with what that means."""

    def run(self, setup: Setup) -> Finding:
        """Answer it; raises SettingError for options that it does not have or a setup that does not suffice."""
        for name in setup.options:
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise SettingError(f"study {self.name!r} has no option {name!r}; it has: {known}")
        return self._run(setup)

    @abstractmethod
    def _run(self, setup: Setup) -> Finding:
        """Called by :meth:`run` when the options are known."""


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table of ``rows``; columns in order of first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([row.get(name, "") for name in columns] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def shown(interval: Interval) -> str:
    """A mean with its interval, for a table: three decimals, or three digits of what is small throughout."""
    largest = max((abs(x) for x in (interval.mean, interval.low, interval.high) if math.isfinite(x)), default=0.0)
    decimals = 3 if largest == 0 else min(max(3, 2 - math.floor(math.log10(largest))), 9)
    return f"{interval.mean:.{decimals}f} [{interval.low:.{decimals}f}, {interval.high:.{decimals}f}]"
