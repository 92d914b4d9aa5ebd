"""What ``xattnmask explain`` prints when it is done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from .job import Outcome


def print_text(outcome: Outcome) -> None:
    """Words with bars, what to be wary of, and where the files are."""
    from ..render import print_words

    explanation = outcome.explanation
    print_words(explanation.words())
    for sentence in explanation.diagnostics:
        typer.echo(f"note: {sentence}")
    folder = next(iter(outcome.files.values())).parent
    typer.echo(f"{', '.join(path.name for path in outcome.files.values())} are in {folder}")


def print_json(outcome: Outcome) -> None:
    """One JSON object: what was explained, the words, the notes, the files and the seconds each stage took."""
    explanation = outcome.explanation
    typer.echo(json.dumps({
        "prompt": explanation.prompt,
        "model": explanation.model,
        "checkpoint": explanation.checkpoint,
        "method": explanation.method,
        "seed": explanation.seed,
        "words": explanation.words().as_dicts(),
        "diagnostics": list(explanation.diagnostics),
        "files": {name: str(path.resolve()) for name, path in outcome.files.items()},
        "seconds": {stage: round(seconds, 3) for stage, seconds in outcome.seconds.items()},
    }, indent=2))
