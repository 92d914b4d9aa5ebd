"""Train the foley models: ``python -m xattnmask_foley.training``. Every stage resumes where it was stopped."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import torch
import typer

from . import card, codec, export, judge, language


class Stage(str, Enum):
    """The stages, in their order; each needs the ones before."""

    codec = "codec"
    judge = "judge"
    language = "language"
    card = "card"


def main(
    stages: Annotated[list[Stage] | None, typer.Argument(help="Stages to run; all, in order, by default.")] = None,
    work: Annotated[Path, typer.Option(help="Folder for states and logs.")] = Path("work"),
    threads: Annotated[int, typer.Option(help="Threads to compute with.")] = 2,
) -> None:
    """Train the codec, the judge and the language model, and measure them; about two hours on two cores."""
    torch.set_num_threads(threads)
    for stage in stages or list(Stage):
        if stage is Stage.codec:
            codec.train(work / "codec")
        elif stage is Stage.judge:
            export.save_judge(judge.train(work / "judge"))
        elif stage is Stage.language:
            export.save_musicgen(language.train(work / "language", export.rounded(codec.train(work / "codec"))))
        else:
            card.write(work)


if __name__ == "__main__":
    typer.run(main)
