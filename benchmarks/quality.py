"""Quality: how well each method finds the words that cause each frame of held-out foley clips."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from xattnmask_foley.training.codec import encode
from xattnmask_foley.training.corpus import TEST, captions
from xattnmask_foley.world import Caption, render, truth

import xattnmask as xm
from xattnmask.diffusion import DiffusionAdapter
from xattnmask.metrics import by_unit, mean_with_interval, paired_difference, truth_scores

from .report import table, write

Case = tuple[str, dict[str, Any]]
COLD = {"start": 0.0, "steps": 10}
SUITES: dict[str, dict[str, Case]] = {
    "main": {
        "learned mask (default)": ("learned", {}),
        "learned mask, context none": ("learned", {"context": "none"}),
        "learned mask, context joint": ("learned", {"context": "joint"}),
        "learned mask from 1/2": ("learned", COLD),
        "mean cross-attention": ("attention", {}),
        "leave-one-out, joint": ("leave-one-out", {"context": "joint"}),
        "leave-one-out, frozen": ("leave-one-out", {"context": "frozen"}),
        "leave-one-out, joint, rule bias": ("leave-one-out", {"context": "joint", "rule": "bias"}),
    },
    "methods": {
        "learned mask (default)": ("learned", {}),
        "random": ("random", {}),
        "mean cross-attention": ("attention", {}),
        "attention rollout": ("rollout", {}),
        "attention rollout, text encoder too": ("rollout", {"depth": "encoder"}),
        "attention times gradient": ("attention-gradient", {}),
        "Grad-CAM": ("grad-cam", {}),
        "leave-one-out": ("leave-one-out", {}),
        "AtMan": ("atman", {}),
        "AtMan with concepts": ("atman", {"concept": 0.7}),
        "integrated gradients": ("integrated-gradients", {}),
        "Shapley values": ("shapley", {}),
    },
    "paper": {
        "learned mask (default)": ("learned", {}),
        "learned mask from 1/2, 5 steps": ("learned", {**COLD, "steps": 5}),
        "the authors' procedure": ("learned", {"preset": "paper"}),
    },
    "learned": {
        "default": ("learned", {}),
        "1 step": ("learned", {"steps": 1, "lr": 0.15}),
        "10 steps": ("learned", {"steps": 10}),
        "from AtMan": ("learned", {"start": "atman"}),
        "from 1/2, 10 steps": ("learned", COLD),
        "from 1/2, 5 steps": ("learned", {**COLD, "steps": 5}),
        "from 1/2, 50 steps": ("learned", {**COLD, "steps": 50, "tolerance": 0.0}),
        "cross-attention masked alone": ("learned", {"depth": "cross"}),
        "from 1/2, cross-attention masked alone": ("learned", {**COLD, "depth": "cross"}),
        "from 1/2, rule bias": ("learned", {**COLD, "rule": "bias"}),
        "from 1/2, factual only": ("learned", {**COLD, "objective": "factual"}),
        "from 1/2, counterfactual only": ("learned", {**COLD, "objective": "counterfactual"}),
        "from 1/2, Gumbel soft": ("learned", {**COLD, "sampling": "soft"}),
        "from 1/2, Gumbel hard": ("learned", {**COLD, "sampling": "hard"}),
        "from 1/2, no penalty": ("learned", {**COLD, "alpha": 0.0, "beta": 0.0}),
        "mlp": ("learned", {"parameters": "mlp", "steps": 50}),
        "mlp-history": ("learned", {"parameters": "mlp-history", "steps": 50}),
    },
}


def run(count: int, suite: str, out: Path, threads: int, audio: str) -> None:
    """Score a suite on ``count`` held-out captions; writes a CSV of every caption and a table."""
    torch.set_num_threads(threads)
    frame = pd.DataFrame(scored(xm.load("foley-musicgen"), count, SUITES[suite], audio))
    name = f"quality-{suite}" + ("" if audio == "rendered" else f"-{audio}")
    write(out / f"{name}.csv", frame.to_csv(index=False, float_format="%.5f"))
    text = table(summary(frame), f"python -m benchmarks quality --suite {suite} --captions {count} --audio {audio}")
    write(out / f"{name}.md", text)
    print(text)


def scored(model: xm.Adapter, count: int, suite: dict[str, Case], audio: str) -> Iterator[dict[str, Any]]:
    """Scores and seconds of each method of a suite on each of ``count`` held-out captions."""
    for index, (caption, seed) in enumerate(captions(TEST, count, babble=0.0)):
        generation = rendered(model, caption, seed) if audio == "rendered" else model.generate(caption.text, seed=seed)
        causes = truth(caption, seed, len(generation.times) - 1)
        for name, (method, settings) in suite.items():
            with counted(model) as passes:
                start = time.perf_counter()
                explanation = xm.explain(model, generation, method=method, **settings)
                seconds = time.perf_counter() - start
            scores = truth_scores(*_by_unit(caption, explanation.word_importance(), causes))
            yield {
                "caption": caption.text,
                "arrangement": caption.arrangement or "single",
                "method": name,
                "seconds": seconds,
                "passes": sum(passes),
                **scores,
            }
        print(f"{index + 1}/{count}", end="\r", flush=True)


@contextmanager
def counted(model: xm.Adapter) -> Iterator[list[int]]:
    """While open, forward passes of one clip are noted, however they are batched; of a diffusion model, of one step.

    The authors' procedure counts as one pass for all positions, though it makes each a sequence of its own. One pass of
    every explanation is for the attention that comes with it.
    """
    copies: list[int] = []
    names = ("denoise",) if isinstance(model, DiffusionAdapter) else ("replay", "replay_isolated")

    def counting(original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        def run(*given: Any, **named: Any) -> Any:
            call = signature.bind(*given, **named)
            call.apply_defaults()
            copies.append(call.arguments["batch"] * len(call.arguments.get("steps", (0,))))
            return original(*given, **named)

        return run

    for name in names:
        setattr(model, name, counting(getattr(model, name)))
    try:
        yield copies
    finally:
        for name in names:
            delattr(model, name)


def rendered(model: xm.Adapter, caption: Caption, seed: int) -> xm.Generation:
    """The rendered clip of ``caption`` as if the model had made it, its codes from the codec: the truth is exact."""
    audio = render(caption, seed)
    codes = _encoded(model, audio)
    like = model.generate(caption.text, seed=0, duration=model.max_duration)
    return replace(like, audio=audio, seed=seed, replay={"codes": codes})


def _encoded(model: xm.Adapter, audio: np.ndarray) -> torch.Tensor:
    """Codes [codebooks, frames] of audio [samples] by the model's own codec."""
    if model.library == "audiocraft":
        with torch.no_grad():
            return model.codec.encode(torch.from_numpy(audio)[None, None])[0][0]
    return encode(model.backbone.audio_encoder, audio[None])[0]


def _by_unit(caption: Caption, importance: np.ndarray, causes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Importance and truth by unit."""
    unit_of_word = np.array(caption.unit_of_word())
    units = [np.flatnonzero(unit_of_word == unit) for unit in range(unit_of_word.max() + 1)]
    return by_unit(importance, units), by_unit(causes, units)


def summary(frame: pd.DataFrame) -> list[dict[str, str]]:
    """One row of a table for each method: means with intervals, what it lacks to the first, seconds."""
    reference = next(iter(frame.method))
    found = []
    for method, part in frame.groupby("method", sort=False):
        row = {"method": str(method)}
        for name in ("frame_auc", "frame_ap", "word_auc", "pointing"):
            mean, low, high = mean_with_interval(part[name].to_numpy())
            row[name.replace("_", " ")] = f"{mean:.3f} [{low:.3f}, {high:.3f}]"
        if method != reference:
            best = frame[frame.method == reference]["frame_auc"].to_numpy()
            mean, low, high = paired_difference(best, part["frame_auc"].to_numpy())
            row["first less this, frame auc"] = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        row["median s"] = f"{np.median(part.seconds):.2f}"
        row["passes"] = f"{np.median(part.passes):.0f}"
        found.append(row)
    return found
