"""Train the foley models: ``python -m xattnmask_foley.training``. Every stage resumes where it was stopped."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers import EncodecModel

from . import card, codec, encoding, export, judge, language
from .corpus import TRAIN


class Stage(str, Enum):
    """The stages, in their order; each needs the ones before."""

    codec = "codec"
    judge = "judge"
    language = "language"
    decoder = "decoder"
    card = "card"
    autoencoder = "autoencoder"
    clap = "clap"
    vocoder = "vocoder"
    audioldm2 = "audioldm2"
    audioldm = "audioldm"
    diffusion_card = "diffusion-card"


_MUSICGEN = (Stage.codec, Stage.judge, Stage.language, Stage.decoder, Stage.card)


def main(
    stages: Annotated[
        list[Stage] | None, typer.Argument(help="Stages to run; by default codec to card, in their order.")
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for states and logs.")] = Path("work"),
    threads: Annotated[int, typer.Option(help="Threads to compute with.")] = 2,
) -> None:
    """Train codec, judge and language model, then the codec's decoder alone; and measure them.

    About three hours on two cores; the stages language and decoder may run at the same time. From autoencoder on the
    stages train the diffusion models; vocoder and clap may run beside others.
    """
    torch.set_num_threads(threads)
    for stage in stages or _MUSICGEN:
        if stage is Stage.codec:
            codec.train(work / "codec")
        elif stage is Stage.judge:
            export.save_judge(judge.train(work / "judge"))
        elif stage is Stage.language:
            language.train(work / "language", _codec(work))
        elif stage is Stage.decoder:
            codes = encoding.encoded(work / "language" / "codes.pt", _codec(work), TRAIN, language.POOL)
            refined = codec.refine(work / "decoder", _codec(work), codes)
            export.save_musicgen(language.train(work / "language", _codec(work)), refined)
        elif stage is Stage.card:
            card.write(work)
        else:
            _diffusion(stage, work)


def _diffusion(stage: Stage, work: Path) -> None:
    from . import diffusion, diffusion_card  # diffusers, which the stages before do without

    if stage is Stage.autoencoder:
        diffusion.train_autoencoder(work)
    elif stage is Stage.clap:
        diffusion.train_texts(work)
    elif stage is Stage.vocoder:
        diffusion.train_vocoder(work)
    elif stage is Stage.audioldm2:
        export.save_pipeline(diffusion.train_audioldm2(work), "foley-audioldm2")
    elif stage is Stage.audioldm:
        export.save_pipeline(diffusion.train_audioldm(work), "foley-audioldm")
    else:
        diffusion_card.write()


def _codec(work: Path) -> EncodecModel:
    return export.rounded(codec.train(work / "codec"))


if __name__ == "__main__":
    typer.run(main)
