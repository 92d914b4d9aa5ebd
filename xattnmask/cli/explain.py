"""``xattnmask explain``: from a prompt to files and a table of words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

import typer

from ..loading import DEFAULT_CHECKPOINT, DTYPES
from . import report
from .job import DEFAULT_DURATION, run
from .options import CONTEXTS, PRESETS, Options, complete_checkpoint, complete_method, complete_model


def explain(
    prompt: str = typer.Argument(..., metavar="PROMPT", help="What the model is to make a sound of."),
    model: str | None = typer.Option(
        None, metavar="KEY", autocompletion=complete_model,
        help="Model key; see: xattnmask models. By default the checkpoint's own."),
    checkpoint: str | None = typer.Option(
        None, metavar="NAME|FOLDER|HUB_ID", autocompletion=complete_checkpoint,
        help=f"Named checkpoint, folder or hub id. (default: {DEFAULT_CHECKPOINT})"),
    seed: int = typer.Option(0, help="Seed of the generation and of the explanation."),
    duration: float | None = typer.Option(
        None, metavar="S", help=f"Seconds of audio. (default: {DEFAULT_DURATION:g}, or the model's most if less)"),
    guidance: float | None = typer.Option(
        None, metavar="G", help="Classifier-free guidance scale. (default: the model's)"),
    method: str = typer.Option(
        "learned", autocompletion=complete_method, help="Attribution method; see: xattnmask methods."),
    context: str | None = typer.Option(
        None, metavar="|".join(CONTEXTS), help="What an audio token may see of the past."),
    steps: int | None = typer.Option(None, metavar="N", help="Steps of optimisation."),
    preset: str | None = typer.Option(None, metavar="|".join(PRESETS), help="Settings to start from."),
    out: str = typer.Option("xattnmask-out", metavar="DIR", help="Folder for the files."),
    device: str = typer.Option("cpu", help="cpu, cuda, cuda:1, mps or xpu."),
    dtype: str = typer.Option("float32", help=f"{', '.join(DTYPES[:-1])} or {DTYPES[-1]}."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object in place of the table."),
    debug: bool = typer.Option(False, "--debug", help="Show where an unexpected error came from."),
) -> None:
    """Generate audio from PROMPT and tell which words made which part of it."""
    options = Options(prompt, model, checkpoint, seed, duration, guidance, method, context, steps, preset, Path(out),
                      device, dtype)
    options.check()
    with _output_folder(options.out) as folder, redirect_stdout(sys.stderr if as_json else sys.stdout):
        outcome = run(options, folder)
    report.print_json(outcome) if as_json else report.print_text(outcome)


@contextmanager
def _output_folder(path: Path) -> Iterator[Path]:
    """The folder to write in, made and tried now; folders made here are taken away if nothing came of it."""
    from ..results import check_writable

    made = [folder for folder in (path, *path.parents) if not os.path.exists(folder)]
    try:
        check_writable(path)
        yield path
    except BaseException:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise
