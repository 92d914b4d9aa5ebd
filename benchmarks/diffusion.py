"""Explaining diffusion models: seconds and peak memory beside generating, and what fewer explained steps cost."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

import xattnmask as xm

from .child import own_peak, told_by
from .models import random_audioldm2
from .report import table, write

NAMES = ("foley-audioldm2", "foley-audioldm")
CAPTION = "we hear a loud dog followed by the rain"
STEPS = 50
"""Denoising steps of what is generated, and of the mask that has one for each."""
FEWER = (5, 3)
"""Explained steps that are tried beside the default of ten."""
COUNTS = (10, STEPS, 4 * STEPS)
"""Explained steps of which peak memory is taken."""
Row = dict[str, str]


def run(part: str, captions: int, repeats: int, out: Path, threads: int, device: str) -> None:
    """Run one part and write its table; ``device`` is for the part ``large``."""
    torch.set_num_threads(threads)
    rows = {"seconds": lambda: _seconds({name: xm.load(name) for name in NAMES}, repeats), "memory": _memory,
            "steps": lambda: _fewer_steps(captions), "large": lambda: _large(repeats, device)}[part]()
    used = {"seconds": f" --repeats {repeats}", "memory": "", "steps": f" --captions {captions}",
            "large": f" --repeats {repeats} --device {device}"}[part]
    text = table(rows, f"python -m benchmarks diffusion --part {part}{used} --threads {threads}", device)
    write(out / f"diffusion-{part}.md", text)
    print(text)


def _large(repeats: int, device: str) -> list[Row]:
    """Random weights of cvssp/audioldm2's sizes; on a GPU with the peak of what torch holds there."""
    model = random_audioldm2(device)
    rows = _seconds({"audioldm2's sizes": model}, repeats)
    if device == "cpu":
        return rows
    generation = _made(model, STEPS)
    for row, work in zip(rows, _works(model, generation).values(), strict=True):
        torch.cuda.reset_peak_memory_stats()
        work()
        row["peak, MB"] = f"{torch.cuda.max_memory_allocated() / 2**20:.0f}"
    return rows


def _works(model: xm.Adapter, generation: xm.Generation) -> dict[str, Callable[[], object]]:
    return {
        f"generate, {STEPS} steps": lambda: _made(model, STEPS),
        "explain (10 steps)": lambda: xm.explain(model, generation),
        **{f"explain, {count} steps": partial(xm.explain, model, generation, denoising_steps=count) for count in FEWER},
        f"explain, all {STEPS} steps": lambda: xm.explain(model, generation, denoising_steps=STEPS),
        "leave-one-out (10 steps)": lambda: xm.explain(model, generation, method="leave-one-out"),
    }


def _seconds(models: Mapping[str, xm.Adapter], repeats: int) -> list[Row]:
    rows = []
    for name, model in models.items():
        generation = _made(model, STEPS)
        works = _works(model, generation)
        works["explain (10 steps)"]()  # the first call imports and warms up
        times: dict[str, list[float]] = {what: [] for what in works}
        for _ in range(repeats):  # by turns, so that all see the same machine
            for what, work in works.items():
                times[what].append(_time(work))
        medians = {what: statistics.median(found) for what, found in times.items()}
        whole = medians[f"generate, {STEPS} steps"]
        rows += [{"model": name, "what": what, "median s": f"{median:.2f}", "of generating": f"{median / whole:.2f}"}
                 for what, median in medians.items()]
    return rows


def _memory() -> list[Row]:
    rows = []
    for name in NAMES:
        made = told_by("diffusion", name, "0")
        peaks = {count: told_by("diffusion", name, str(count)) for count in COUNTS}
        explained = {f"explain {count} steps, MB": f"{peak:.0f}" for count, peak in peaks.items()}
        rows.append({"model": name, f"generate {COUNTS[-1]} steps, MB": f"{made:.0f}", **explained,
                     "most / generate": f"{max(peaks.values()) / made:.2f}"})
    return rows


def _fewer_steps(captions: int) -> list[Row]:
    """Against the truth, on the world's own sounds: the default, fewer, and a mask for each of ``STEPS``."""
    methods: dict[str, tuple[str, dict[str, Any]]] = {
        f"{count} steps": ("learned", {"denoising_steps": count}) for count in (10, *FEWER, STEPS)}
    found = xm.evaluate(xm.load(NAMES[0]), world="foley", limit=captions, methods=methods, metrics=["truth"])
    return [{"explained": row.method, "score": row.score, "mean": f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]",
             "captions": str(row.prompts)} for row in found.summary if row.score in ("word_auc", "frame_auc")]


def _made(model: xm.Adapter, steps: int) -> xm.Generation:
    return model.generate(CAPTION, seed=0, steps=steps)


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _measure(name: str, count: int) -> float:
    """Peak of this process in MB after generating and, of ``count`` steps, explaining."""
    model = xm.load(name)
    generation = _made(model, COUNTS[-1])
    if count:
        xm.explain(model, generation, denoising_steps=count, steps=2)
    return own_peak()


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
