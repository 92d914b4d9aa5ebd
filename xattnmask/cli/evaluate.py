"""``xattnmask evaluate``: attribution methods on many prompts, scored by a judge and against known causes."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import SettingError, XattnmaskError
from ..loading import load, resolve
from ..plugins.discovery import JUDGES, WORLDS, find
from .evaluating import (
    CHECKPOINT,
    DURATION,
    GENERATE,
    GUIDANCE,
    JUDGE,
    JUDGE_CHECKPOINT,
    LABELS,
    MODEL,
    PROMPTS,
    REPEATS,
    SEED,
    SPLIT,
    WORLD,
    prompt_bar,
    read_cases,
    read_judge,
)
from .folder import output_folder
from .method_list import parse_methods, parse_settings
from .shared import AS_JSON, DEBUG, DEVICE, DTYPE

if TYPE_CHECKING:
    from ..evaluation import Evaluation


def evaluate(
    prompts: str | None = PROMPTS,
    world: str | None = WORLD,
    model: str | None = MODEL,
    checkpoint: str | None = CHECKPOINT,
    methods: str = typer.Option(
        "learned", metavar="A,B,...", help="Attribution methods; see: xattnmask methods. With settings: "
        "learned:steps=10:context=none. The first is compared with the others."),
    judge: str | None = JUDGE,
    judge_checkpoint: str | None = JUDGE_CHECKPOINT,
    labels: str | None = LABELS,
    metrics: str | None = typer.Option(
        None, metavar="A,B,...", help="fidelity, truth, curves, infidelity, sensitivity. (default: the first with a "
        "judge, the second with a world)"),
    truth: str | None = typer.Option(
        None, metavar="given|generated", help="Score against the truth on the world's own sound, or on the model's."),
    mask: str = typer.Option(
        "own", metavar="own|stretched|ranked", help="Make sounds again under each method's own mask, or under its "
        "importance stretched over [0, 1], or under its cells' ranks."),
    repeats: int = REPEATS,
    top: int = typer.Option(3, metavar="K", help="Labels that the second fidelity takes."),
    limit: int | None = typer.Option(None, metavar="N", help="At most so many prompts. (default: all; 100 of a world)"),
    split: str = SPLIT,
    seed: int = SEED,
    duration: float | None = DURATION,
    guidance: float | None = GUIDANCE,
    generate: list[str] = GENERATE,
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
    settings = parse_settings(generate, "--generate")
    named, cases = parse_methods(methods), None if prompts is None else read_cases(Path(prompts))
    with output_folder(Path(out)) as folder, redirect_stdout(sys.stderr):
        from ..evaluation import evaluate as run  # only now: it needs torch
        from ..evaluation.sharing import own_device, processes

        share = processes(device)
        device = own_device(device, share)
        with prompt_bar(share.main) as on_prompt:
            found = run(
                load(model, checkpoint, device=device, dtype=dtype), cases, methods=named,
                judge=read_judge(judge, judge_checkpoint, labels, device), world=world, out=folder, seed=seed,
                metrics=None if metrics is None else metrics.split(","), duration=duration, guidance=guidance,
                mask=mask,  # type: ignore[arg-type]  # what there is not is refused there
                generate=settings, repeats=repeats, top=top, truth=truth, limit=limit, split=split,
                on_prompt=on_prompt)
    if share.main:
        _tell(found, folder, as_json)


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
