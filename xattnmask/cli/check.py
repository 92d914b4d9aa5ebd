"""``xattnmask check``: the conformance kit from the shell, for those who write an adapter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from ..errors import SettingError
from .options import complete_checkpoint, complete_model
from .shared import AS_JSON, DEBUG

if TYPE_CHECKING:
    from ..testing import Outcome, Report

_MARKS = {"passed": "[green]passed[/]", "failed": "[bold red]failed[/]", "warned": "[yellow]warned[/]",
          "skipped": "[dim]skipped[/]"}

_SETTINGS = typer.Option([], "--set", metavar="NAME=VALUE", help="What else generate is given, as in --set steps=4.")
_ONLY = typer.Option([], metavar="CHECK", help="Run this check alone; may be given several times.")


def check(
    key: str = typer.Argument(..., metavar="KEY", autocompletion=complete_model,
                              help="Model key, or a named checkpoint."),
    checkpoint: str | None = typer.Option(
        None, metavar="NAME|FOLDER|HUB_ID", autocompletion=complete_checkpoint,
        help="Checkpoint of a model; a small one is quick, and random weights do."),
    prompt: str | None = typer.Option(None, help="What is generated. (default: seven words)"),
    duration: float | None = typer.Option(
        None, metavar="S", help="Seconds of audio. (default: 1, or the model's most)"),
    setting: list[str] = _SETTINGS,
    only: list[str] = _ONLY,
    as_json: bool = AS_JSON,
    debug: bool = DEBUG,
) -> None:
    """Check that the adapter of a model keeps the contract; each failure says what to change in it.

    Exit codes: 0 nothing failed; 1 something failed; 2 the model cannot be loaded.
    """
    from ..testing import Subject, run_checks

    given = {"prompt": prompt, "duration": duration, "settings": _settings(setting) if setting else None}
    subject = Subject.of(key, checkpoint, **{name: value for name, value in given.items() if value is not None})
    report = run_checks(subject, only or None, (lambda _: None) if as_json else _Progress())
    typer.echo(json.dumps(report.as_dict(), indent=2)) if as_json else _print(report)
    raise typer.Exit(0 if report.passed else 1)


class _Progress:
    """Names each check on stderr when it is done, where somebody watches."""

    def __init__(self) -> None:
        from ..progress_bar import stderr_console

        self._console = stderr_console()

    def __call__(self, outcome: Outcome) -> None:
        if self._console.is_terminal:
            self._console.print(f"{outcome.name}: {outcome.status}")


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("check", "", "seconds", "why, and what to change", box=None, pad_edge=False)
    for outcome in report.outcomes:
        table.add_row(outcome.name, _MARKS[outcome.status], f"{outcome.seconds:.1f}", escape(outcome.message))
    console = Console(soft_wrap=False)
    console.print(table)
    counts = ", ".join(f"{report.count(status)} {status}" for status in _MARKS if report.count(status))
    console.print(f"\n{counts}")


def _settings(pairs: list[str]) -> dict[str, Any]:
    """``steps=4`` to a setting: its value as JSON, or else as it is."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingError(f"--set takes NAME=VALUE, not {pair!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
