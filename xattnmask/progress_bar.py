"""Progress bars, on a terminal and in a notebook: listeners like any other plugin's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .html import progress_html
from .plugins.hookspecs import hookimpl
from .plugins.listeners import register, unregister

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from .events import RunStart, StepEvent


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


class NotebookBar:
    """As :class:`ProgressBar`, in the output of a notebook's cell."""

    def __init__(self, display: Any) -> None:
        """``display`` is a handle of IPython's."""
        self._display, self._steps = display, 0

    @hookimpl
    def xattnmask_start(self, run: RunStart) -> None:
        """The bar starts anew."""
        self._show("explaining", 0, run.steps)

    @hookimpl
    def xattnmask_step(self, event: StepEvent) -> None:
        """The bar moves on."""
        loss = event.values.get("total", event.values.get("loss"))
        self._show(f"step {event.step + 1} of {event.steps}" + ("" if loss is None else f", loss {loss:.3f}"),
                   event.step + 1, event.steps)

    @hookimpl
    def xattnmask_end(self) -> None:
        """The bar is full, also when the method stopped early."""
        self._show("explained", 1, 1)

    def _show(self, text: str, done: int, total: int) -> None:
        self._display.update(_ipython().HTML(progress_html(text, done, total)))


@contextmanager
def progress() -> Iterator[None]:
    """Show a progress bar for the explanations made inside: in a notebook in the cell, else on a terminal's stderr."""
    if not _in_notebook():
        with progress_bar(stderr_console()):
            yield
        return
    show = _ipython()
    bar = NotebookBar(show.display(show.HTML(progress_html("", 0, None)), display_id=True))
    register(bar)
    try:
        yield
    finally:
        unregister(bar)


def _ipython() -> Any:
    return import_module("IPython.display")


def _in_notebook() -> bool:
    """Whether this runs in a kernel whose front end shows HTML; imports nothing that is not there already."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


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
