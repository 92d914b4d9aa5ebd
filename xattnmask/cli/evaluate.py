"""``xattnmask evaluate``: attribution methods on many prompts, scored by a judge and against known causes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import SettingError, XattnmaskError
from ..loading import DEFAULT_CHECKPOINT, load, resolve
from ..plugins.discovery import JUDGES, WORLDS, find, keys
from ..progress_bar import stderr_console
from ..prompt_file import read_rows
from .folder import output_folder
from .method_list import parse_methods
from .options import complete_checkpoint, complete_model
from .shared import AS_JSON, DEBUG, DEVICE, DTYPE

if TYPE_CHECKING:
    from ..evaluation import Evaluation
    from ..evaluation.run import OnPrompt
    from ..evaluation.sharing import Alone
    from ..plugins.offers import Case, Judge


def complete_judge(incomplete: str) -> list[str]:
    """Shell completion of ``--judge``."""
    return [key for key in keys(JUDGES) if key.startswith(incomplete)]


def complete_world(incomplete: str) -> list[str]:
    """Shell completion of ``--world``."""
    return [key for key in keys(WORLDS) if key.startswith(incomplete)]


def evaluate(
    prompts: str | None = typer.Option(
        None, metavar="FILE", help="Prompts: a text file, one a line, or a CSV with a column caption."),
    world: str | None = typer.Option(
        None, metavar="NAME", autocompletion=complete_world,
        help="Captions of a world whose causes are known; see: xattnmask worlds."),
    model: str | None = typer.Option(
        None, metavar="KEY", autocompletion=complete_model,
        help="Model key; see: xattnmask models. By default the checkpoint's own."),
    checkpoint: str | None = typer.Option(
        None, metavar="NAME|FOLDER|HUB_ID", autocompletion=complete_checkpoint,
        help=f"Named checkpoint, folder or hub id. (default: {DEFAULT_CHECKPOINT})"),
    methods: str = typer.Option(
        "learned", metavar="A,B,...", help="Attribution methods; see: xattnmask methods. With settings: "
        "learned:steps=10:context=none. The first is compared with the others."),
    judge: str | None = typer.Option(
        None, metavar="KEY", autocompletion=complete_judge, help="Audio classifier; see: xattnmask judges."),
    judge_checkpoint: str | None = typer.Option(
        None, metavar="FOLDER|HUB_ID", help="The judge's weights. (default: its own)"),
    labels: str | None = typer.Option(
        None, metavar="FILE", help="What a zero-shot judge is to tell apart: a text file, one a line."),
    metrics: str | None = typer.Option(
        None, metavar="A,B,...", help="fidelity, truth, curves, infidelity, sensitivity. (default: the first with a "
        "judge, the second with a world)"),
    truth: str | None = typer.Option(
        None, metavar="given|generated", help="Score against the truth on the world's own sound, or on the model's."),
    repeats: int = typer.Option(3, metavar="N", help="Sounds made again under each mask."),
    top: int = typer.Option(3, metavar="K", help="Labels that the second fidelity takes."),
    limit: int | None = typer.Option(None, metavar="N", help="At most so many prompts. (default: all; 100 of a world)"),
    split: str = typer.Option("test", metavar="NAME", help="Which captions of the world."),
    seed: int = typer.Option(0, help="Seed of the sounds and of the explanations."),
    duration: float | None = typer.Option(None, metavar="S", help="Seconds of audio. (default: the model's)"),
    guidance: float | None = typer.Option(None, metavar="G", help="Guidance scale. (default: the model's)"),
    out: str = typer.Option("xattnmask-evaluation", metavar="DIR", help="Folder for the tables."),
    device: str = DEVICE,
    dtype: str = DTYPE,
    as_json: bool = AS_JSON,
    debug: bool = DEBUG,
) -> None:
    """Score attribution methods on many prompts; goes on where it stopped. Several processes: accelerate launch -m
    xattnmask evaluate."""
    if (prompts is None) == (world is None):
        raise SettingError("give --prompts FILE or --world NAME")
    resolve(model, checkpoint)
    if judge is not None:
        find(JUDGES, judge)
    if world is not None:
        find(WORLDS, world)
    named, cases = parse_methods(methods), None if prompts is None else _cases(Path(prompts))
    with output_folder(Path(out)) as folder, redirect_stdout(sys.stderr):
        from ..evaluation import evaluate as run  # only now: it needs torch
        from ..evaluation.sharing import own_device, processes

        share = processes(device)
        device = own_device(device, share)
        with _progress(share) as on_prompt:
            found = run(
                load(model, checkpoint, device=device, dtype=dtype), cases, methods=named,
                judge=_judge(judge, judge_checkpoint, labels, device), world=world, out=folder, seed=seed,
                metrics=None if metrics is None else metrics.split(","), duration=duration, guidance=guidance,
                repeats=repeats, top=top, truth=truth, limit=limit, split=split, on_prompt=on_prompt)
    if share.main:
        _tell(found, folder, as_json)


def _cases(file: Path) -> list[Case]:
    from ..plugins.offers import Case

    return [Case(prompt, columns=columns) for prompt, columns in read_rows(file)]


def _judge(key: str | None, checkpoint: str | None, labels: str | None, device: str) -> Judge | None:
    if key is None:
        if checkpoint is not None or labels is not None:
            raise SettingError("--judge-checkpoint and --labels go with --judge")
        return None
    from ..judges import load_judge

    names = None if labels is None else [name for name, _ in read_rows(Path(labels))]
    return load_judge(key, checkpoint, device=device, labels=names)


@contextmanager
def _progress(share: Alone) -> Iterator[OnPrompt | None]:
    """A bar over the prompts on a terminal's stderr, with an estimate of what is left; the main process's share."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if not share.main:
        yield None
        return
    columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"),
               TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=stderr_console(), transient=True) as bar:
        task = bar.add_task("", total=None)

        def on_prompt(done: int, total: int, rows: Sequence[dict[str, Any]]) -> None:
            bar.update(task, completed=done, total=total, description=str(rows[0]["prompt"])[:40])

        yield on_prompt


def _tell(found: Evaluation, folder: Path, as_json: bool) -> None:
    """The summary, where the tables are, and that rows have failed, as an error."""
    if as_json:
        from ..evaluation.store import clean

        typer.echo(json.dumps({
            "prompts": len({row["number"] for row in found}), "methods": list(found.methods),
            "summary": clean([asdict(row) for row in found.summary]), "folder": str(folder.resolve()),
            "errors": [{name: row[name] for name in ("number", "prompt", "method", "error")} for row in found.errors],
        }, indent=2))
    else:
        typer.echo(f"{found}\nresults.csv, results.parquet, summary.csv and summary.md are in {folder}")
    if found.errors:
        first = found.errors[0]
        raise XattnmaskError(f"{len(found.errors)} of {len(found)} rows failed; prompt {first['number']}, "
                             f"{first['method']}: {first['error']}")
