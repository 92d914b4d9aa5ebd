"""Editing: whether a source that is faint or was missed is heard, and louder, when its word is strengthened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from xattnmask_foley.training.corpus import captions
from xattnmask_foley.world import Caption, Phrase
from xattnmask_foley.world.grammar import LOUDNESS

import xattnmask as xm

from .edit import HEARD, SPLITS, Ear
from .report import table, write
from .scores import mean_with_interval

WEIGHTS = (1.5, 2.0)
FILLER = "an article at 2"
"""The control: what the same change of the sampling does to a source when its word is left alone."""


def run(count: int, split: str, start: int, out: Path, threads: int, name: str) -> None:
    """Strengthen words of the model's own sounds of ``count`` captions; writes a CSV of every edit and a table."""
    torch.set_num_threads(threads)
    frame = pd.DataFrame(_rows(count, SPLITS[split], start))
    write(out / f"{name}.csv", frame.to_csv(index=False, float_format="%.3f"))
    text = table(_summary(frame), f"python -m benchmarks strengthen --captions {count} --split {split} --start {start}")
    write(out / f"{name}.md", text)
    print(text)


def _rows(count: int, split: int, start: int) -> Iterator[dict[str, Any]]:
    model, ear = xm.load("foley-musicgen"), Ear()
    for index, (caption, seed) in enumerate(captions(split, count, babble=0.0, start=start)):
        generation = model.generate(caption.text, seed=seed)
        before = ear(generation, cut=False)
        weak = [phrase for phrase in caption.phrases if _is_weak(phrase, before)]
        for edit, noun, weights in _edits(weak, generation):
            edited = xm.edit(model, generation, weights)
            after = ear(edited, cut=False)
            for phrase in caption.phrases if noun is None else [p for p in caption.phrases if p.noun == noun]:
                if noun is not None or phrase in weak:
                    part = _stretch(caption, phrase)
                    yield {"caption": caption.text, "seed": seed, "edit": edit, "source": phrase.noun,
                           "faint": phrase.loudness == LOUDNESS["faint"],
                           "before": before[phrase.noun], "after": after[phrase.noun],
                           "louder": level(edited, part) - level(generation, part),
                           "others": _others(caption, phrase, before, after)}
        print(f"{index + 1}/{count}", end="\r", flush=True)


def _is_weak(phrase: Phrase, before: dict[str, float]) -> bool:
    return before[phrase.noun] <= HEARD or phrase.loudness == LOUDNESS["faint"]


def _edits(weak: list[Phrase], generation: xm.Generation) -> Iterator[tuple[str, str | None, list[xm.WordEdit]]]:
    """What the edit is called, the noun it is of, and the weights; the control once for a caption with weak sources."""
    for phrase in weak:
        for weight in WEIGHTS:
            yield f"its word at {weight:g}", phrase.noun, [xm.WordEdit(phrase.noun, weight)]
    words = [word.text for word in generation.words]
    article = next((word for word in words if word in ("a", "an", "the")), None)
    if weak and article is not None:
        yield FILLER, None, [xm.WordEdit(f"{article}#1" if words.count(article) > 1 else article, 2.0)]


def _stretch(caption: Caption, phrase: Phrase) -> tuple[float, float]:
    """Where a source sounds, as shares of the clip: its half where two follow each other."""
    if caption.arrangement in (None, "together"):
        return 0.0, 1.0
    return (0.0, 0.5) if caption.order[0] == phrase.noun else (0.5, 1.0)


def _others(caption: Caption, phrase: Phrase, before: dict[str, float], after: dict[str, float]) -> float:
    """Whether the caption's other source, if it was heard, is heard still; NaN if there is none."""
    heard = [p.noun for p in caption.phrases if p is not phrase and before[p.noun] > HEARD]
    return float(after[heard[0]] > HEARD) if heard else float("nan")


def level(generation: xm.Generation, part: tuple[float, float]) -> float:
    """Root mean square in decibels of a stretch, shares of the clip."""
    count = generation.audio.shape[-1]
    audio = generation.audio[..., int(part[0] * count) : int(part[1] * count)].astype(np.float64)
    return float(10 * np.log10(np.mean(audio**2) + 1e-10))


def _summary(frame: pd.DataFrame) -> list[dict[str, str]]:
    rows = []
    for edit in frame.edit.drop_duplicates():
        part = frame[frame.edit == edit]
        missed = part[part.before <= HEARD]
        rows.append({
            "edit": edit,
            "a missed source is heard": _mean((missed.after > HEARD).astype(float), "{:.0%}"),
            "the judge's probability of a missed source rises by": _mean(missed.after - missed.before, "{:+.2f}"),
            "level where a faint or missed source sounds, dB": _mean(part.louder, "{:+.1f}"),
            "the other source stays": _mean(part.others.dropna(), "{:.0%}"),
        })  # fmt: skip
    return rows


def _mean(values: pd.Series, form: str) -> str:
    if not len(values):
        return ""
    mean, low, high = (form.format(v) for v in mean_with_interval(values.to_numpy(dtype=np.float64)))
    return f"{mean} [{low}, {high}] of {len(values)}"
