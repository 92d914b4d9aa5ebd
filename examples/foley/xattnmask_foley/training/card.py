"""The model card: held-out numbers of the judge, the codec and the language model."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

import xattnmask as xm

from ..checkpoint import FOLDER
from ..judge import FoleyJudge
from ..world import SAMPLE_RATE, SOURCES, Caption
from . import codec, language
from .corpus import TEST, captions, clips

CARD = Path(__file__).parents[2] / "MODEL_CARD.md"
KINDS = {"single": None, "successive": "successive", "simultaneous": "together"}
FOUND = 0.5
MEANING = (
    "The judge never heard the codec or the model in training. *All found*: every source that the caption names",
    "has a probability above 0.5. *Other found*: so has one that it does not name. *Order*: of clips of two",
    "successive sources, both found, the share in which they come in the caption's order.",
    "",
    "| audio | kind | clips | all found | other found | order |",
    "| --- | --- | --- | --- | --- | --- |",
)
"""What the table says, and its head."""
Hear = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Heard:
    """What the judge heard in one clip: were all named sources found, any other, and in the right order (or None)."""

    found: bool
    extra: bool
    ordered: bool | None


def write(work: Path, clips_each: int = 200, generated: int = 200) -> None:
    """Measure everything and write the card."""
    judge, model = FoleyJudge.load(), xm.load("foley-musicgen")
    encoder = model.backbone.audio_encoder

    def through_codec(audio: np.ndarray) -> np.ndarray:
        return codec.decode(encoder, codec.encode(encoder, audio[None]))[0]

    renders = {kind: hear_clips(judge, kind, clips_each, lambda audio: audio) for kind in KINDS}
    coded = {kind: hear_clips(judge, kind, clips_each, through_codec) for kind in KINDS}
    sampled = hear_generations(judge, model, generated)
    loss = language.validation_loss(model.backbone, work / "language" / "validation.pt")
    CARD.write_text(_card(renders, coded, sampled, loss))
    print(CARD.read_text())


def hear(judge: FoleyJudge, caption: Caption, audio: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Heard:
    """Ask the judge about ``audio``, made for ``caption``."""
    clip, frames = judge(audio, sample_rate), judge.frames(audio, sample_rate)
    named = [list(SOURCES).index(noun) for noun in caption.order]
    found = bool((clip[named] > FOUND).all())
    extra = bool((np.delete(clip, named) > FOUND).any())
    ordered = None
    if len(named) == 2 and caption.arrangement != "together" and found:
        times = np.arange(len(frames))[:, None]
        centres = (frames[:, named] * times).sum(0) / frames[:, named].sum(0)
        ordered = bool(centres[0] < centres[1])
    return Heard(found, extra, ordered)


def hear_clips(judge: FoleyJudge, kind: str, count: int, process: Hear) -> list[Heard]:
    """What the judge hears in held-out clips of a kind, each processed."""
    return [hear(judge, clip.caption, process(clip.audio)) for clip in clips(TEST, count, KINDS[kind])]


def hear_generations(
    judge: FoleyJudge, model: xm.Adapter, count: int, **settings: Any
) -> dict[str, list[Heard]]:
    """What the judge hears in what the model makes of held-out captions, by kind."""
    heard: dict[str, list[Heard]] = {kind: [] for kind in KINDS}
    for caption, seed in captions(TEST, count, babble=0.0):
        generation = model.generate(caption.text, seed=seed, **settings)
        heard[_kind(caption)].append(hear(judge, caption, generation.audio, generation.sample_rate))
    return heard


def _kind(caption: Caption) -> str:
    return {None: "single", "together": "simultaneous"}.get(caption.arrangement, "successive")


def _card(
    renders: dict[str, list[Heard]], coded: dict[str, list[Heard]], sampled: dict[str, list[Heard]], loss: list[float]
) -> str:
    lines = [
        "# Model card: foley-musicgen and foley-judge",
        "",
        "Small models of the real classes (T5, EnCodec, MusicGen of transformers; a convolutional judge), trained from",
        "nothing on the foley world by the stages of `python -m xattnmask_foley.training`, with changes on the way",
        "that docs/foley.md lists. Its stage `card` prints the numbers below, on seeds that training never drew; a",
        "short caption may have been seen, with another rendering.",
        "",
        *MEANING,
        *rows("rendered", renders),
        *rows("rendered, through the codec", coded),
        *rows("generated, guidance 3", sampled),
        "",
        f"Held-out cross-entropy by codebook: {' / '.join(f'{value:.2f}' for value in loss)} nats.",
        f"Size of the weights: {megabytes('foley-musicgen', 'foley-judge'):.1f} MB.",
        "",
        machine("torch", "transformers"),
        "",
    ]
    return "\n".join(lines)


def machine(*libraries: str) -> str:
    """Where the numbers were made, and with what."""
    versions = ", ".join(f"{library} {metadata.version(library)}" for library in libraries)
    return f"Made on {os.cpu_count()} cores ({platform.machine()}), {versions}."


def rows(audio: str, heard: dict[str, list[Heard]]) -> Iterator[str]:
    """Rows of the table, one for each kind."""
    for kind, results in heard.items():
        ordered = [result.ordered for result in results if result.ordered is not None]
        order = f"{np.mean(ordered):.1%}" if ordered else ""
        found, extra = (f"{np.mean([getattr(result, name) for result in results]):.1%}" for name in ("found", "extra"))
        yield f"| {audio} | {kind} | {len(results)} | {found} | {extra} | {order} |"


def megabytes(*names: str) -> float:
    """Size of named checkpoints."""
    files = (path for name in names for path in (FOLDER / name).rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files) / 1e6


if __name__ == "__main__":
    torch.set_num_threads(2)
    write(Path("work"))
