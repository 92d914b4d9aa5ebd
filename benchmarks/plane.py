"""Time and frequency: whether the cells in which a source sounds are those that an explanation gives its word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.signal import stft
from xattnmask_foley.training.corpus import TEST, captions
from xattnmask_foley.world import SAMPLE_RATE, Caption, render, tracks

import xattnmask as xm
from xattnmask.metrics import mean_with_interval, paired_difference, plane_iou

from .report import table, write

MODEL = "foley-audioldm2"
WINDOW, HOP = 1024, 160
"""Samples of the spectrum that cells are measured in."""
AUDIBLE = 1e-5
"""What a cell must have of the power of the loudest one, that of 50 dB below it."""
FIRST = "attention x learned mask"
Planes = Mapping[str, np.ndarray]


def run(count: int, out: Path, threads: int) -> None:
    """Score ``count`` held-out captions of two sources; writes every source's scores and a table."""
    torch.set_num_threads(threads)
    frame = pd.DataFrame(_rows(count))
    write(out / "plane.csv", frame.to_csv(index=False, float_format="%.4f"))
    text = table(list(_summary(frame)), f"python -m benchmarks plane --captions {count}")
    write(out / "plane.md", text)
    print(text)


def _rows(count: int) -> Iterator[dict[str, Any]]:
    model = xm.load(MODEL)
    chosen = ((caption, seed) for caption, seed in captions(TEST, 20 * count, babble=0.0) if caption.arrangement)
    for index, (caption, seed) in enumerate(islice(chosen, count)):
        sound = model.encode(caption.text, render(caption, seed), SAMPLE_RATE)
        explanation = xm.explain(model, sound)
        where = explanation.attention_map
        truth, audible = cells(caption, seed, where.times, where.hertz)
        for phrase, true in zip(caption.phrases, truth, strict=True):
            for name, plane in _planes(explanation, phrase.noun, index).items():
                yield {"caption": caption.text, "arrangement": caption.arrangement, "word": phrase.noun, "plane": name,
                       "iou": float(plane_iou(plane, true)),
                       "iou where audible": float(plane_iou(np.where(audible, plane, -1.0), true))}
        print(f"{index + 1}/{count}", end="\r", flush=True)


def cells(caption: Caption, seed: int, times: np.ndarray, hertz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which phrase a cell belongs to, bool [phrases, times, bands], and which are audible at all, bool [times, bands].

    An audible cell belongs to the phrase that has most of its power.
    """
    powers = np.array([_power(track, times, hertz) for track in tracks(caption, seed)])
    audible = powers.sum(0) >= AUDIBLE * powers.sum(0).max()
    return (powers == powers.max(0)) & audible, audible


def _power(audio: np.ndarray, times: np.ndarray, hertz: np.ndarray) -> np.ndarray:
    """Mean power in each cell between edges ``times`` in seconds and ``hertz``, [times, bands]."""
    frequencies, moments, spectrum = stft(audio, SAMPLE_RATE, nperseg=WINDOW, noverlap=WINDOW - HOP)
    return _means(_means(np.abs(spectrum.T) ** 2, moments, times, 0), frequencies, hertz, 1)


def _means(power: np.ndarray, places: np.ndarray, edges: np.ndarray, axis: int) -> np.ndarray:
    """Means of the points that lie between edges; of the nearest point where none does."""
    found = []
    for low, high in pairwise(edges):
        inside = np.flatnonzero((places >= low) & (places < high))
        if not len(inside):
            inside = np.array([np.abs(places - (low + high) / 2).argmin()])
        found.append(power.take(inside, axis).mean(axis))
    return np.stack(found, axis)


def _planes(explanation: xm.Explanation, noun: str, seed: int) -> Planes:
    """What ranks the cells for a word, each [times, bands], 0 or above."""
    where = explanation.attention_map
    words = [word.text for word in explanation.words_in_prompt]
    importance = explanation.word_importance()[:, words.index(noun)]
    middles = (where.times[:-1] + where.times[1:]) / 2
    frames = np.searchsorted(explanation.times, middles, "right") - 1
    learned = np.repeat(importance[frames.clip(0, len(importance) - 1), None], len(where.hertz) - 1, 1)
    attention = explanation.word_map(noun)
    chance = np.random.default_rng(seed).random(attention.shape)
    return {FIRST: attention * learned, "attention": attention, "learned mask, all bands alike": learned,
            "random": chance}


def _summary(frame: pd.DataFrame) -> Iterator[dict[str, str]]:
    """A row for each plane: means over captions with intervals, and how much less than the first has."""
    scores = ["iou", "iou where audible"]
    by_caption = frame.groupby(["plane", "arrangement", "caption"], sort=False)[scores].mean().reset_index()
    first = by_caption[by_caption.plane == FIRST]
    for name, part in by_caption.groupby("plane", sort=False):
        row = {"cells ranked by": str(name)}
        for score in scores:
            mean, low, high = mean_with_interval(part[score].to_numpy())
            row[score.replace("iou", "IoU")] = f"{mean:.3f} [{low:.3f}, {high:.3f}]"
        for kind, some in part.groupby("arrangement"):
            row[f"IoU, {kind}"] = f"{some['iou'].mean():.3f}"
        if name != FIRST:
            mean, low, high = paired_difference(first["iou"].to_numpy(), part["iou"].to_numpy())
            row["first less this, IoU"] = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        yield row
