"""The work behind ``xattnmask explain``: load, generate, explain, regenerate, write."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..loading import load
from .options import Options
from .progress import progress_bar, stderr_console

if TYPE_CHECKING:
    from ..adapter import Adapter
    from ..generation import Generation
    from ..results import Explanation

DEFAULT_DURATION = 5.0
"""Seconds of audio when nothing is said, or the model's most if that is less."""

FILES = {
    "heatmap": "heatmap.png",
    "audio": "audio.wav",
    "factual": "factual.wav",
    "counterfactual": "counterfactual.wav",
    "explanation": "explanation.json",
}
"""What is written, by what it holds; in this order, so that ``explanation.json`` is there only when all is."""


@dataclass
class Outcome:
    """What a run came to: the explanation, the files by what they hold, and seconds by stage."""

    explanation: Explanation
    files: dict[str, Path]
    seconds: dict[str, float] = field(default_factory=dict)


def run(options: Options, folder: Path) -> Outcome:
    """Do what ``options`` ask for and write the files into ``folder``, all or none."""
    console, seconds = stderr_console(), {}

    @contextmanager
    def stage(name: str, doing: str | None = None) -> Iterator[None]:
        start = time.perf_counter()
        with console.status(doing) if doing else progress_bar(console):
            yield
        seconds[name] = time.perf_counter() - start

    with stage("load", "loading the model"):
        model = load(options.model, options.checkpoint, device=options.device, dtype=options.dtype)
    with stage("generate", "generating audio"):
        generation = _generate(model, options)
    from ..explainer import explain, regenerate  # only now: it needs torch, which takes a second to import

    with stage("explain"):
        explanation = explain(model, generation, method=options.method, seed=options.seed, **options.explain_settings())
    with stage("regenerate", "regenerating audio with and without the important words"):
        sounds = {"audio": generation.audio, **regenerate(model, generation, explanation)}
    with stage("write", "writing files"):
        explanation = replace(explanation, audio=sounds, sample_rate=generation.sample_rate)
        files = _write(explanation, folder)
    return Outcome(explanation, files, seconds)


def _generate(model: Adapter, options: Options) -> Generation:
    duration = min(DEFAULT_DURATION, model.max_duration) if options.duration is None else options.duration
    return model.generate(options.prompt, seed=options.seed, duration=duration, **options.generate_settings())


def _write(explanation: Explanation, folder: Path) -> dict[str, Path]:
    """Write all files under another name first, so that a run that is stopped leaves ``folder`` as it was."""
    from ..render import heatmap
    from ..results.files import write_files

    with tempfile.TemporaryDirectory(prefix=".xattnmask-", dir=folder) as staging:
        heatmap(explanation, Path(staging) / "heatmap.png")
        explanation.save(staging)
        write_files(folder, {name: partial(shutil.copyfile, Path(staging) / name) for name in FILES.values()})
    return {kind: folder / name for kind, name in FILES.items()}
