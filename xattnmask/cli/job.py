"""The work behind ``xattnmask explain``: load, generate or take in, explain, regenerate, write."""

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
from ..progress_bar import progress_bar, stderr_console
from .options import Options

if TYPE_CHECKING:
    from ..adapter import Adapter
    from ..generation import Generation
    from ..results import Explanation

FILES = {
    "report": "report.html",
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


class Stages:
    """Shows on stderr what is being done, and notes how long it took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._console = stderr_console()

    @contextmanager
    def __call__(self, name: str, doing: str | None = None) -> Iterator[None]:
        """One stage; without words for it, with the progress bar of an explanation."""
        start = time.perf_counter()
        with self._console.status(doing) if doing else progress_bar(self._console):
            yield
        self.seconds[name] = time.perf_counter() - start


def run(options: Options, folder: Path) -> Outcome:
    """Do what ``options`` ask for and write the files into ``folder``, all or none."""
    stage = Stages()
    return run_with(load_model(options, stage), options, folder, stage)


def load_model(options: Options, stage: Stages) -> Adapter:
    """The model that ``options`` name."""
    with stage("load", "loading the model"):
        return load(options.model, options.checkpoint, device=options.device, dtype=options.dtype)


def run_with(model: Adapter, options: Options, folder: Path, stage: Stages) -> Outcome:
    """As :func:`run`, with a model that is loaded."""
    with stage("generate", "generating audio" if options.audio is None else "reading audio"):
        generation = _generate(model, options)
    from ..explainer import explain, regenerate  # only now: it needs torch, which takes a second to import

    with stage("explain"):
        explanation = explain(model, generation, method=options.method, seed=options.seed, **options.explain_settings())
    sounds = {"audio": generation.audio}
    if not generation.encoded:
        with stage("regenerate", "regenerating audio with and without the important words"):
            sounds.update(regenerate(model, generation, explanation))
    with stage("write", "writing files"):
        explanation = replace(explanation, audio=sounds, sample_rate=generation.sample_rate)
        files = _write(explanation, folder, options.report)
    return Outcome(explanation, files, stage.seconds)


def _generate(model: Adapter, options: Options) -> Generation:
    """Audio from the prompt, or the given sound taken in."""
    if options.audio is not None:
        from ..sound import read_audio

        return model.encode(options.prompt, *read_audio(options.audio))
    return model.generate(options.prompt, seed=options.seed, duration=options.duration, **options.generate_settings())


def _write(explanation: Explanation, folder: Path, with_report: bool) -> dict[str, Path]:
    """Write all files under another name first, so that a run that is stopped leaves ``folder`` as it was.

    Those of an earlier run that this one does not write are removed: they would be of another sound.
    """
    from ..render import heatmap, report
    from ..results.files import write_files

    with tempfile.TemporaryDirectory(prefix=".xattnmask-", dir=folder) as staging:
        if with_report:
            report(explanation, Path(staging) / FILES["report"])
        heatmap(explanation, Path(staging) / FILES["heatmap"])
        explanation.save(staging)
        made = {kind: name for kind, name in FILES.items() if (Path(staging) / name).exists()}
        write_files(folder, {name: partial(shutil.copyfile, Path(staging) / name) for name in made.values()})
    for name in FILES.values():
        if name not in made.values():
            (folder / name).unlink(missing_ok=True)
    return {kind: folder / name for kind, name in made.items()}
