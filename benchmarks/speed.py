"""Speed and memory: explaining beside generating, on one machine, in one process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import xattnmask as xm

from .child import own_peak, told_by
from .models import CODEBOOK, PROMPT, random_musicgen
from .report import table, write

Row = dict[str, str]
CAPTION = "we hear a loud dog followed by the rain"
LENGTHS = (50, 100, 200, 400, 800, 1500)


def run(part: str, repeats: int, out: Path, threads: int, device: str) -> None:
    """Run one part and write its table; peak memory is that of the CPU, so those parts do not run elsewhere."""
    torch.set_num_threads(threads)
    where = "" if device == "cpu" else f" --device {device}"
    rows = PARTS[part](repeats, *([device] if where else []))
    command = f"python -m benchmarks speed --part {part} --repeats {repeats} --threads {threads}{where}"
    text = table(rows, command, device)
    write(out / f"speed-{part}{where and '-gpu'}.md", text)
    print(text)


def foley(repeats: int) -> list[Row]:
    """(a) The bundled model: generating, explaining, and the whole command from the shell."""
    model = xm.load("foley-musicgen")
    rows = _generate_and_explain(model, CAPTION, None, repeats)
    rows.append({"what": "xattnmask explain from the shell", "median s": f"{_median(_shell, repeats):.2f}"})
    return rows


def small(repeats: int, device: str = "cpu") -> list[Row]:
    """(b) Random weights of musicgen-small's sizes, five seconds."""
    return _generate_and_explain(random_musicgen("small", device=device), PROMPT, 5.0, repeats)


def paper(repeats: int, device: str = "cpu") -> list[Row]:
    """(c) The authors' procedure and ours on the same models; on the large one a share of its epochs, scaled up."""
    rows = []
    for name, model, prompt, duration, epochs in (
        ("foley-musicgen", xm.load("foley-musicgen", device=device), CAPTION, None, 50),
        ("musicgen-small's sizes", random_musicgen("small", device=device), PROMPT, 5.0, 2),
    ):
        generation = _made(model, prompt, duration)
        ours = _median(lambda m=model, g=generation: xm.explain(m, g), repeats)
        theirs = (
            _median(lambda m=model, g=generation, e=epochs: xm.explain(m, g, preset="paper", steps=e), 1) * 50 / epochs
        )
        rows.append(
            {
                "model": name,
                "ours, s": f"{ours:.2f}",
                "authors' procedure, s": f"{theirs:.1f}",
                "measured epochs of 50": str(epochs),
                "times faster": f"{theirs / ours:.0f}",
            }
        )
    return rows


def patch(repeats: int, device: str = "cpu") -> list[Row]:
    """(d) One replay, plain and under an all-ones mask, taken by turns."""
    rows = []
    for name, model, prompt, duration in (
        ("foley-musicgen", xm.load("foley-musicgen", device=device), CAPTION, None),
        ("musicgen-small's sizes", random_musicgen("small", device=device), PROMPT, 5.0),
    ):
        generation = _made(model, prompt, duration)
        tokens, positions = len(generation.tokens), int(generation.positions.max()) + 1
        masks = {"shared mask": torch.ones(1, tokens), "mask per position": torch.ones(1, positions, tokens)}
        plain, patched = [], {kind: [] for kind in masks}
        for _ in range(max(repeats, 5) if duration else 10 * repeats):
            plain.append(_time(lambda m=model, g=generation: _replay(m, g)))
            for kind, mask in masks.items():
                patched[kind].append(_time(lambda m=model, g=generation, k=mask: _patched(m, g, k)))
        for kind, times in patched.items():
            ratio = statistics.median(times) / statistics.median(plain)
            rows.append(
                {
                    "model": name,
                    "mask": kind,
                    "plain, s": f"{statistics.median(plain):.4f}",
                    "patched, s": f"{statistics.median(times):.4f}",
                    "slower by": f"{ratio - 1:+.1%}",
                }
            )
    return rows


def memory(_: int) -> list[Row]:
    """(d) Peak memory of a process that loads and generates, and of one that explains as well."""
    rows = []
    for size in ("foley", "small"):
        peaks = {what: told_by("speed", "memory", size, what) for what in ("load", "generate", "explain")}
        rows.append(
            {
                "model": size,
                **{f"{what}, MB": f"{peak:.0f}" for what, peak in peaks.items()},
                "explain / generate": f"{peaks['explain'] / peaks['generate']:.2f}",
            }
        )
    return rows


def length(_: int) -> list[Row]:
    """Time and peak memory of explaining against the number of frames, 12 layers narrower than musicgen-small's."""
    rows = []
    for frames in LENGTHS:
        seconds, peak = told_by("speed", "length", str(frames))
        rows.append(
            {
                "frames": str(frames),
                "explain, s": f"{seconds:.2f}",
                "ms a frame": f"{1e3 * seconds / frames:.1f}",
                "peak, MB": f"{peak:.0f}",
            }
        )
    return rows


PARTS: dict[str, Callable[..., list[Row]]] = {
    "foley": foley, "small": small, "paper": paper, "patch": patch, "memory": memory, "length": length,
}  # fmt: skip


def random_generation(model: xm.Adapter, prompt: str, frames: int) -> xm.Generation:
    """A generation of random codes: enough to explain, and nothing has to be generated."""
    books = model.backbone.decoder.num_codebooks
    codes = torch.randint(CODEBOOK, (books, frames), generator=torch.Generator().manual_seed(0))
    positions = np.arange(frames)[:, None] + np.arange(books)
    times = np.arange(frames + 1) / 50
    return xm.Generation(
        prompt=prompt,
        audio=np.zeros(frames * 640, np.float32),
        sample_rate=32000,
        tokens=model.tokenize(prompt),
        seed=0,
        settings={},
        model=model.key,
        checkpoint=model.checkpoint,
        times=times,
        positions=positions,
        replay={"codes": codes},
    )


def _generate_and_explain(model: xm.Adapter, prompt: str, duration: float | None, repeats: int) -> list[Row]:
    generation = _made(model, prompt, duration)
    xm.explain(model, generation, steps=1)  # the first call imports and warms up
    generating, explaining = [], []
    for _ in range(repeats):
        generating.append(_time(lambda: _made(model, prompt, duration)))
        explaining.append(_time(lambda: xm.explain(model, generation)))
    medians = statistics.median(generating), statistics.median(explaining)
    shape = f"T = {len(generation.times) - 1}, L = {len(generation.tokens)}"
    return [
        {"what": f"generate, {shape}", "median s": f"{medians[0]:.2f}"},
        {
            "what": f"explain, {shape}",
            "median s": f"{medians[1]:.2f}",
            "of generating": f"{medians[1] / medians[0]:.2f}",
        },
    ]


def _made(model: xm.Adapter, prompt: str, duration: float | None) -> xm.Generation:
    return model.generate(prompt, seed=0, duration=duration)


@torch.no_grad()
def _replay(model: xm.Adapter, generation: xm.Generation) -> None:
    model.replay(generation)


def _patched(model: xm.Adapter, generation: xm.Generation, mask: torch.Tensor) -> None:
    with xm.patch(model, mask):
        _replay(model, generation)


def _shell() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "xattnmask", "explain", CAPTION, "--out", folder]
        subprocess.run(command, check=True, capture_output=True)


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _median(work: Callable[[], object], repeats: int) -> float:
    return statistics.median(_time(work) for _ in range(repeats))


def _measure_memory(size: str, what: str) -> float:
    """Peak of this process in MB after loading, generating, or generating and explaining."""
    model = xm.load("foley-musicgen") if size == "foley" else random_musicgen(size)
    if what != "load":
        generation = _made(model, CAPTION if size == "foley" else PROMPT, None if size == "foley" else 2.0)
    if what == "explain":
        xm.explain(model, generation, steps=2)
    return own_peak()


def _measure_length(frames: int) -> tuple[float, float]:
    model = random_musicgen("tiny")
    generation = random_generation(model, PROMPT, frames)
    xm.explain(model, replace(generation), steps=1)
    return _time(lambda: xm.explain(model, generation)), own_peak()


if __name__ == "__main__":
    torch.set_num_threads(2)
    kind, *rest = sys.argv[1:]
    print(json.dumps(_measure_memory(*rest) if kind == "memory" else _measure_length(int(rest[0]))))
