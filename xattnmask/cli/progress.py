"""A progress bar on stderr, which is a listener like any other plugin's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..plugins.hookspecs import hookimpl
from ..plugins.listeners import register, unregister

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from ..events import RunStart, StepEvent


class ProgressBar:
    """Shows the steps of an explanation and its loss."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("explaining", total=None, loss="")

    @hookimpl
    def xattnmask_start(self, run: RunStart) -> None:
        """The bar starts anew."""
        self._progress.update(self._task, total=run.steps, completed=0)

    @hookimpl
    def xattnmask_step(self, event: StepEvent) -> None:
        """The bar moves on."""
        loss = event.values.get("total", event.values.get("loss"))
        shown = "" if loss is None else f"loss {loss:.3f}"
        self._progress.update(self._task, total=event.steps, completed=event.step + 1, loss=shown)

    @hookimpl
    def xattnmask_end(self) -> None:
        """The bar is full, also when the method stopped early."""
        self._progress.update(self._task, total=1, completed=1)


def stderr_console() -> Console:
    """Where progress goes; nothing of it is printed unless stderr is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    console.quiet = not console.is_terminal
    return console


@contextmanager
def progress_bar(console: Console) -> Iterator[None]:
    """Show a progress bar for the explanations made inside."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.fields[loss]}"))
    with Progress(*columns, console=console, transient=True) as progress:
        bar = ProgressBar(progress)
        register(bar)
        try:
            yield
        finally:
            unregister(bar)
