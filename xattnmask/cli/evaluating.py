"""Options and helpers that ``xattnmask evaluate`` and ``xattnmask study`` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import SettingError
from ..loading import DEFAULT_CHECKPOINT
from ..plugins.discovery import JUDGES, WORLDS, keys
from ..progress_bar import stderr_console
from ..prompt_file import read_rows
from .options import complete_checkpoint, complete_model

if TYPE_CHECKING:
    from ..evaluation.run import OnPrompt
    from ..plugins.offers import Case, Judge


def complete_judge(incomplete: str) -> list[str]:
    """Shell completion of ``--judge``."""
    return [key for key in keys(JUDGES) if key.startswith(incomplete)]


def complete_world(incomplete: str) -> list[str]:
    """Shell completion of ``--world``."""
    return [key for key in keys(WORLDS) if key.startswith(incomplete)]


PROMPTS = typer.Option(
    None, metavar="FILE", help="Prompts: a text file, one a line, or a CSV with a column caption.")
WORLD = typer.Option(
    None, metavar="NAME", autocompletion=complete_world,
    help="Captions of a world whose causes are known; see: xattnmask worlds.")
MODEL = typer.Option(
    None, metavar="KEY", autocompletion=complete_model,
    help="Model key; see: xattnmask models. By default the checkpoint's own.")
CHECKPOINT = typer.Option(
    None, metavar="NAME|FOLDER|HUB_ID", autocompletion=complete_checkpoint,
    help=f"Named checkpoint, folder or hub id. (default: {DEFAULT_CHECKPOINT})")
JUDGE = typer.Option(
    None, metavar="KEY", autocompletion=complete_judge, help="Audio classifier; see: xattnmask judges.")
JUDGE_CHECKPOINT = typer.Option(None, metavar="FOLDER|HUB_ID", help="The judge's weights. (default: its own)")
LABELS = typer.Option(None, metavar="FILE", help="What a zero-shot judge is to tell apart: a text file, one a line.")
REPEATS = typer.Option(3, metavar="N", help="Sounds made again under each mask.")
SPLIT = typer.Option("test", metavar="NAME", help="Which captions of the world.")
SEED = typer.Option(0, help="Seed of the sounds and of the explanations.")
DURATION = typer.Option(None, metavar="S", help="Seconds of audio. (default: the model's)")
GENERATE = typer.Option(
    [], "--generate", metavar="NAME=VALUE", help="What else the model's generate takes, such as steps=50 for a "
    "diffusion model. May be given several times.")
GUIDANCE = typer.Option(None, metavar="G", help="Guidance scale. (default: the model's)")


def read_cases(file: Path) -> list[Case]:
    from ..plugins.offers import Case

    return [Case(prompt, columns=columns) for prompt, columns in read_rows(file)]


def read_judge(key: str | None, checkpoint: str | None, labels: str | None, device: str) -> Judge | None:
    if key is None:
        if checkpoint is not None or labels is not None:
            raise SettingError("--judge-checkpoint and --labels go with --judge")
        return None
    from ..judges import load_judge

    names = None if labels is None else [name for name, _ in read_rows(Path(labels))]
    return load_judge(key, checkpoint, device=device, labels=names)


@contextmanager
def prompt_bar(shown: bool = True, doing: str = "evaluating") -> Iterator[OnPrompt | None]:
    """A bar over the prompts on a terminal's stderr, with an estimate of what is left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if not shown:
        yield None
        return
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"),
               TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task("", total=None)

        def on_prompt(done: int, total: int, rows: Sequence[dict[str, Any]]) -> None:
            bar.update(task, completed=done, total=total, description=str(rows[0]["prompt"])[:40])

        yield on_prompt
