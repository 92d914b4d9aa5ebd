"""What every method costs on every bundled model: seconds, forward passes (side by side, in one process), memory."""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path

import torch

import xattnmask as xm
from xattnmask.diffusion import DiffusionAdapter
from xattnmask.errors import XattnmaskError
from xattnmask.plugins.discovery import METHODS, keys

from .child import own_peak, told_by
from .quality import counted
from .report import table, write

MODELS = ("foley-musicgen", "foley-audiogen", "foley-audioldm2", "foley-audioldm")
CAPTION = "we hear a loud dog followed by the rain"
STEPS = 50
"""Denoising steps of what diffusion models generate; ten of them are explained, as by default."""
FIRST, REFERENCE = "learned", "leave-one-out"
Row = dict[str, str]


def run(repeats: int, out: Path, threads: int) -> None:
    """Measure all of them and write the table."""
    torch.set_num_threads(threads)
    rows = []
    for name in MODELS:
        if name == "foley-audiogen" and importlib.util.find_spec("audiocraft") is None:
            continue
        rows += _of_model(name, repeats)
    text = table(rows, f"python -m benchmarks methods --repeats {repeats} --threads {threads}")
    write(out / "speed-methods.md", text)
    print(text)


def _of_model(name: str, repeats: int) -> list[Row]:
    model = xm.load(name)
    generation = _made(model)
    methods = sorted(keys(METHODS), key=lambda key: (key != FIRST, key != REFERENCE, key))
    times: dict[str, list[float]] = {"": []}
    passes: dict[str, int] = {}
    for method in methods:  # the first call imports and warms up, and tells what the model cannot do
        try:
            with counted(model) as found:
                xm.explain(model, generation, method=method)
        except XattnmaskError:
            continue
        times[method], passes[method] = [], sum(found)
    for _ in range(repeats):  # by turns, so that all see the same machine
        for method, taken in times.items():
            start = time.perf_counter()
            _made(model) if not method else xm.explain(model, generation, method=method)
            taken.append(time.perf_counter() - start)
    seconds = {method: statistics.median(taken) for method, taken in times.items()}
    memory = {method: told_by("methods", name, method) for method in times}
    rows = [{"model": name, "what": "generate", "median s": f"{seconds['']:.2f}", "peak, MB": f"{memory['']:.0f}"}]
    for method in methods:
        if method not in passes:
            rows.append({"model": name, "what": method, "median s": "does not apply"})
            continue
        rows.append({
            "model": name, "what": method, "median s": f"{seconds[method]:.2f}",
            "of generating": f"{seconds[method] / seconds['']:.2f}",
            "of leave-one-out": f"{seconds[method] / seconds[REFERENCE]:.2f}", "forward passes": str(passes[method]),
            "peak, MB": f"{memory[method]:.0f}",
        })  # fmt: skip
    return rows


def _made(model: xm.Adapter) -> xm.Generation:
    return model.generate(CAPTION, seed=0, **({"steps": STEPS} if isinstance(model, DiffusionAdapter) else {}))


def _measure(name: str, method: str) -> float:
    """Peak of this process in MB after generating and, with a method, explaining."""
    model = xm.load(name)
    generation = _made(model)
    if method:
        xm.explain(model, generation, method=method)
    return own_peak()


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(json.dumps(_measure(*sys.argv[1:])))
