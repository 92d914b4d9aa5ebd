"""Editing: whether a source whose word is taken away is gone and the other one stays, by the ear of the judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from xattnmask_foley.judge import FoleyJudge
from xattnmask_foley.training.corpus import TEST, VALIDATION, captions
from xattnmask_foley.world import Caption

import xattnmask as xm
from xattnmask.metrics import mean_with_interval

from .report import table, write

SPLITS = {"test": TEST, "validation": VALIDATION}
HEARD = 0.5
"""The probability above which the judge hears a source."""
HALF = 0.5
"""Where the stretch begins in which a word is taken away, as a share of the clip."""
EDITS = {
    "taken away": "the word at 0 throughout",
    "taken away in the second half": "the word at 0 in the second half, which alone is judged",
    "a filler taken away": "an article at 0 throughout: nothing should go",
}


def run(count: int, split: str, start: int, out: Path, threads: int, settings: Mapping[str, Any], name: str) -> None:
    """Edit the model's own sounds of ``count`` held-out captions; writes a CSV of every edit and a table."""
    torch.set_num_threads(threads)
    frame = pd.DataFrame(_rows(count, SPLITS[split], start, settings))
    write(out / f"{name}.csv", frame.to_csv(index=False, float_format="%.3f"))
    given = " ".join(f"--{key} {value}" for key, value in settings.items())
    command = f"python -m benchmarks edit --captions {count} --split {split} --start {start} {given}".rstrip()
    text = table(_summary(frame), command)
    write(out / f"{name}.md", text)
    print(text)


def _rows(count: int, split: int, start: int, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    model, ear = xm.load("foley-musicgen"), Ear()
    for index, (caption, seed) in enumerate(captions(split, count, babble=0.0, start=start)):
        generation = model.generate(caption.text, seed=seed)
        nouns = [phrase.noun for phrase in caption.phrases]
        for noun in nouns:
            for edit, weights in _edits(caption, noun, generation).items():
                edited = xm.edit(model, generation, weights, **settings)
                before, after = (ear(sound, cut=edit.endswith("half")) for sound in (generation, edited))
                for source in nouns:
                    yield {"caption": caption.text, "seed": seed, "edit": edit, "word": noun, "source": source,
                           "before": before[source], "after": after[source]}
        print(f"{index + 1}/{count}", end="\r", flush=True)


def _edits(caption: Caption, noun: str, generation: xm.Generation) -> dict[str, Sequence[xm.WordEdit]]:
    """The edits of EDITS that fit: of two sources, only simultaneous ones both sound in the second half."""
    last = float(generation.times[-1])
    found = {"taken away": [xm.WordEdit(noun, 0.0)]}
    if caption.arrangement == "together":
        found["taken away in the second half"] = [xm.WordEdit(noun, 0.0, HALF * last, last)]
    words = [word.text for word in generation.words]
    article = next((word for word in words if word in ("a", "an", "the")), None)
    if article is not None and noun == caption.phrases[0].noun:
        found["a filler taken away"] = [xm.WordEdit(f"{article}#1" if words.count(article) > 1 else article, 0.0)]
    return found


class Ear:
    """The judge's probability of each source in a generation, or in its second half."""

    def __init__(self) -> None:
        self.judge = FoleyJudge.load()

    def __call__(self, generation: xm.Generation, cut: bool) -> dict[str, float]:
        audio = generation.audio
        if cut:
            audio = audio[..., int(HALF * audio.shape[-1]) :]
        found = self.judge(audio, generation.sample_rate)
        return dict(zip(self.judge.labels, map(float, found), strict=True))


def _summary(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Of the sources that were heard before: which share of those named is gone, and which of the others stays."""
    heard = frame[frame.before > HEARD]
    rows = []
    for edit, what in EDITS.items():
        part = heard[heard.edit == edit]
        own = (part.source == part.word) & (edit != "a filler taken away")
        rows.append({"edit": edit, "what": what, "the source is gone": _share(part[own].after <= HEARD),
                     "the others stay": _share(part[~own].after > HEARD)})
    return rows


def _share(values: pd.Series) -> str:
    if not len(values):
        return ""
    mean, low, high = mean_with_interval(values.to_numpy(dtype=np.float64))
    return f"{mean:.1%} [{low:.1%}, {high:.1%}] of {len(values)}"
