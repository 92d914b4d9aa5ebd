"""``xattnmask edit``: a saved generation again, with words weakened, taken away or strengthened."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..edits import MAX_WEIGHT, WordEdit, token_weights
from ..errors import FormatError, SettingError
from ..loading import load
from .folder import output_folder
from .job import Stages
from .shared import AS_JSON, DEBUG, DEVICE, DTYPE, REPORT, SAVED

if TYPE_CHECKING:
    from ..generation import Generation
    from ..results import Explanation

FORMAT, VERSION = "xattnmask/edit", 1
FILES = {"report": "report.html", "original": "original.wav", "edited": "edited.wav", "edit": "edit.json"}
"""What is written, by what it holds; ``edit.json`` last."""
_ROUNDING = 2.0**-14  # what 16 bits in the saved audio may differ by


def edit(
    saved: str = SAVED,
    changes: list[str] = typer.Option(  # noqa: B008 - typer's own way to take an option several times
        ..., "--set", metavar="WORD=WEIGHT[@START-END]",
        help=f"0 takes the word away, 1 leaves it, up to {MAX_WEIGHT:g} strengthens it; from START to END in seconds, "
             "or throughout. WORD#2 is the second of that name. May be given several times."),
    out: str = typer.Option("xattnmask-edit", metavar="DIR", help="Folder for the files."),
    with_report: bool = REPORT,
    device: str = DEVICE,
    dtype: str = DTYPE,
    as_json: bool = AS_JSON,
    debug: bool = DEBUG,
) -> None:
    """Make the sound of the explanation saved in DIR again from the same seed, with some words weighed otherwise."""
    from ..results import Explanation

    explanation = Explanation.load(saved, audio=False)
    edits = _checked(changes, explanation)
    with output_folder(Path(out)) as folder, redirect_stdout(sys.stderr if as_json else sys.stdout):
        original, edited = _make(explanation, edits, device, dtype)
        _write(folder, original, edited, changes, with_report)
    notes = _doubts(original, saved)
    files = {kind: name for kind, name in FILES.items() if kind != "report" or with_report}
    if as_json:
        made = {kind: str((folder / name).resolve()) for kind, name in files.items()}
        typer.echo(json.dumps({**_data(edited, changes), "notes": notes, "files": made}, indent=2))
        return
    for note in notes:
        typer.echo(f"note: {note}")
    typer.echo(f"{', '.join(files.values())} are in {folder}")


def _checked(changes: Sequence[str], explanation: Explanation) -> list[WordEdit]:
    """The edits, after finding what can be found wrong without a model."""
    edits = [WordEdit.parse(change) for change in changes]
    token_weights(edits, explanation.prompt, explanation.tokens, explanation.times)
    if explanation.generation_settings.get("encoded"):
        raise SettingError("the model did not make this sound, so that it cannot make it again with other words")
    return edits


def _make(explanation: Explanation, edits: Sequence[WordEdit], device: str,
          dtype: str) -> tuple[Generation, Generation]:
    """The sound as it was, and edited."""
    stage = Stages()
    with stage("load", "loading the model"):
        model = load(explanation.model, explanation.checkpoint, device=device, dtype=dtype)
    settings = {name: value for name, value in explanation.generation_settings.items() if name != "seed"}
    with stage("generate", "generating audio as it was"):
        original = model.generate(explanation.prompt, seed=explanation.seed, **settings)
    from ..editing import edit as edit_generation  # only now: it needs torch

    with stage("edit", "generating audio with the words changed"):
        return original, edit_generation(model, original, edits)


def _write(folder: Path, original: Generation, edited: Generation, changes: Sequence[str], with_report: bool) -> None:
    from ..render import edit_report
    from ..results.files import write_files
    from ..results.wave_file import write_wave

    sounds, rate = {"original": original.audio, "edited": edited.audio}, edited.sample_rate
    writers: dict[str, Any] = {}
    if with_report:
        page = edit_report(edited.prompt, changes, sounds, rate)
        writers[FILES["report"]] = lambda path: path.write_text(page, encoding="utf-8")
    for name, sound in sounds.items():
        writers[FILES[name]] = partial(write_wave, audio=sound, sample_rate=rate)
    text = json.dumps({"format": FORMAT, "version": VERSION, **_data(edited, changes)}, indent=2) + "\n"
    writers[FILES["edit"]] = lambda path: path.write_text(text, encoding="utf-8")
    write_files(folder, writers)
    if not with_report:
        (folder / FILES["report"]).unlink(missing_ok=True)


def _data(edited: Generation, changes: Sequence[str]) -> dict[str, Any]:
    return {"prompt": edited.prompt, "set": list(changes), "model": edited.model, "checkpoint": edited.checkpoint,
            "seed": edited.seed, "generation_settings": dict(edited.settings), "sample_rate": edited.sample_rate}


def _doubts(original: Generation, saved: str) -> list[str]:
    """Whether the model still makes the sound that was saved: it must, or the edit is of another one."""
    import numpy as np

    from ..results import Explanation

    try:
        before = Explanation.load(saved).audio.get("audio")
    except FormatError:
        return []
    if before is None:
        return []
    now = original.audio.clip(-1, 1)
    if before.shape == now.shape and np.allclose(before, now, rtol=0, atol=_ROUNDING):
        return []
    return ["the model does not make the saved sound any more (other weights, versions, device or dtype); what was "
            "edited is what it makes now, original.wav"]
