"""``xattnmask study``: a question about explanations, answered by a table and a plot."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import typer

from ..errors import SettingError
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
from .method_list import parse_settings
from .shared import AS_JSON, DEBUG, DEVICE, DTYPE


def study(
    name: str | None = typer.Argument(None, metavar="NAME", help="Which study; all are listed when none is named."),
    prompts: str | None = PROMPTS,
    world: str | None = WORLD,
    model: str | None = MODEL,
    checkpoint: str | None = CHECKPOINT,
    judge: str | None = JUDGE,
    judge_checkpoint: str | None = JUDGE_CHECKPOINT,
    labels: str | None = LABELS,
    given: list[str] = typer.Option(  # noqa: B008 - typer's own way to take an option several times
        [], "--set", metavar="OPTION=VALUE", help="What this study alone takes. May be given several times."),
    repeats: int = REPEATS,
    limit: int | None = typer.Option(None, metavar="N", help="At most so many prompts. (default: the study's)"),
    split: str = SPLIT,
    seed: int = SEED,
    duration: float | None = DURATION,
    guidance: float | None = GUIDANCE,
    generate: list[str] = GENERATE,
    out: str = typer.Option("xattnmask-study", metavar="DIR", help="Folder for the table and the plot."),
    device: str = DEVICE,
    dtype: str = DTYPE,
    as_json: bool = AS_JSON,
    debug: bool = DEBUG,
) -> None:
    """Answer a question about explanations on any model; without NAME, list the studies and what they take."""
    from ..studies import Setup, load_study

    if name is None:
        _list(as_json)
        return
    chosen, options = load_study(name), _options(given)
    if prompts is not None and world is not None:
        raise SettingError("give --prompts FILE or --world NAME, not both")
    if limit is not None and limit < 1:
        raise SettingError(f"limit must be at least 1, not {limit}")
    settings = parse_settings(generate, "--generate")
    resolve(model, checkpoint)
    for group, key in ((JUDGES, judge), (WORLDS, world)):
        if key is not None:
            find(group, key)
    cases = None if prompts is None else read_cases(Path(prompts))
    with output_folder(Path(out)) as folder, redirect_stdout(sys.stderr), prompt_bar(doing=name) as on_prompt:
        from ..plugins.registry import world as load_world

        found = chosen.run(Setup(
            load(model, checkpoint, device=device, dtype=dtype), cases, None if world is None else load_world(world),
            read_judge(judge, judge_checkpoint, labels, device), folder, limit, split, seed, duration, guidance,
            repeats, options, on_prompt, settings))
        files = found.save(folder)
    if as_json:
        typer.echo(json.dumps({"study": name, "table": found.table, "notes": list(found.notes),
                               "files": [str(file.resolve()) for file in files]}, indent=2))
    else:
        typer.echo(f"{found}\n{', '.join(file.name for file in files)} are in {folder}")


def _list(as_json: bool) -> None:
    from ..studies import list_studies

    studies = list_studies()
    if as_json:
        typer.echo(json.dumps({"studies": [{"name": each.name, "question": each.question, "options": dict(each.options)}
                                           for each in studies]}, indent=2))
        return
    for each in studies:
        typer.echo(f"{each.name}: {each.question}")
        for option, meaning in each.options.items():
            typer.echo(f"    --set {option}=...  {meaning}")


def _options(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    names = [name for name, _, _ in pairs]
    if not all(name and sign and value for name, sign, value in pairs) or len(set(names)) < len(names):
        raise SettingError("--set takes OPTION=VALUE, each option once")
    return {name: value for name, _, value in pairs}
