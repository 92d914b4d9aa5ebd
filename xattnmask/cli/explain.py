"""``xattnmask explain``: from a prompt, or many, to files and a table of words."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import typer

from ..errors import SettingError
from ..loading import DEFAULT_CHECKPOINT
from . import batch, report
from .folder import output_folder
from .job import run
from .options import CONTEXTS, PRESETS, Options, complete_checkpoint, complete_method, complete_model
from .shared import AS_JSON, DEBUG, DEVICE, DTYPE, REPORT


def explain(
    prompt: str | None = typer.Argument(None, metavar="PROMPT", help="What the model is to make a sound of."),
    model: str | None = typer.Option(
        None, metavar="KEY", autocompletion=complete_model,
        help="Model key; see: xattnmask models. By default the checkpoint's own."),
    checkpoint: str | None = typer.Option(
        None, metavar="NAME|FOLDER|HUB_ID", autocompletion=complete_checkpoint,
        help=f"Named checkpoint, folder or hub id. (default: {DEFAULT_CHECKPOINT})"),
    seed: int = typer.Option(0, help="Seed of the generation and of the explanation."),
    duration: float | None = typer.Option(
        None, metavar="S", help="Seconds of audio. (default: what the model was trained on, or 5)"),
    guidance: float | None = typer.Option(
        None, metavar="G", help="Classifier-free guidance scale. (default: the model's)"),
    method: str = typer.Option(
        "learned", autocompletion=complete_method, help="Attribution method; see: xattnmask methods."),
    context: str | None = typer.Option(
        None, metavar="|".join(CONTEXTS), help="What an audio token may see of the past."),
    steps: int | None = typer.Option(None, metavar="N", help="Steps of optimisation."),
    preset: str | None = typer.Option(None, metavar="|".join(PRESETS), help="Settings to start from."),
    audio: str | None = typer.Option(
        None, metavar="FILE", help="Explain this sound, which the model did not make, in place of a generated one."),
    prompts: str | None = typer.Option(
        None, metavar="FILE", help="Explain many prompts: a text file, one a line, or a CSV with a column caption."),
    out: str = typer.Option("xattnmask-out", metavar="DIR", help="Folder for the files."),
    with_report: bool = REPORT,
    device: str = DEVICE,
    dtype: str = DTYPE,
    as_json: bool = AS_JSON,
    debug: bool = DEBUG,
) -> None:
    """Generate audio from PROMPT and tell which words made which part of it."""
    _check_given(prompt, prompts, audio)
    options = Options(
        prompt=prompt or "", model=model, checkpoint=checkpoint, seed=seed, duration=duration, guidance=guidance,
        method=method, context=context, steps=steps, preset=preset, out=Path(out), device=device, dtype=dtype,
        audio=None if audio is None else Path(audio), report=with_report)
    if prompts is not None:
        batch.explain_all(options, Path(prompts), as_json)
        return
    options.check()
    with output_folder(options.out) as folder, redirect_stdout(sys.stderr if as_json else sys.stdout):
        outcome = run(options, folder)
    report.print_json(outcome) if as_json else report.print_text(outcome)


def _check_given(prompt: str | None, prompts: str | None, audio: str | None) -> None:
    """A prompt or a file of prompts, not both; a sound goes with one prompt."""
    if prompt is None and prompts is None:
        raise SettingError("give a PROMPT, or --prompts FILE for many")
    if prompt is not None and prompts is not None:
        raise SettingError("give a PROMPT or --prompts FILE, not both")
    if audio is not None and prompts is not None:
        raise SettingError("--audio goes with one PROMPT, not with --prompts")
