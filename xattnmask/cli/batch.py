"""``xattnmask explain --prompts``: many prompts, one model, a folder for each; goes on where it stopped."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import FormatError, XattnmaskError
from ..prompt_file import read_prompts
from .folder import output_folder
from .job import FILES, Stages, load_model, run_with
from .options import Options
from .prompts import STATE, Item, check_state, items, state_text

if TYPE_CHECKING:
    from ..adapter import Adapter
    from ..results import Explanation

INDEX = "index.html"


def explain_all(options: Options, file: Path, as_json: bool) -> None:
    """Explain every prompt of ``file`` into folders of ``options.out``, and tell what came of it.

    A folder that is finished is left as it is; a prompt that fails is noted, and the others go on.

    Raises:
        XattnmaskError: at the end, if a prompt failed.
    """
    found = items(read_prompts(file))
    replace(options, prompt=found[0].prompt).check()
    given = options.as_dict()
    check_state(options.out, given)
    with output_folder(options.out) as folder, redirect_stdout(sys.stderr if as_json else sys.stdout):
        done = _explain_each(options, found, folder, given)
    failed = [number for number, item in enumerate(found, 1) if item.error is not None]
    if as_json:
        typer.echo(json.dumps(_summary(found, done, folder), indent=2))
    else:
        typer.echo(f"{len(done)} of {len(found)} prompts are explained; {INDEX} is in {folder}")
    if failed:
        first = failed[0]
        raise XattnmaskError(f"{len(failed)} of {len(found)} prompts failed; number {first}: {found[first - 1].error}")


def _explain_each(options: Options, found: Sequence[Item], folder: Path,
                  given: dict[str, Any]) -> dict[str, Explanation]:
    """Explanations by folder, without audio; the model is loaded once, when a prompt needs it."""
    done = {item.folder: kept for item in found if (kept := _finished(folder / item.folder, item.prompt)) is not None}
    _note(found, done, folder, given)
    model: Adapter | None = None
    for number, item in enumerate(found, 1):
        if item.folder not in done:
            model = model or load_model(options, Stages())
            made = _explain_one(model, replace(options, prompt=item.prompt), item, folder)
            done.update({} if made is None else {item.folder: made})
            _note(found, done, folder, given)
        typer.echo(f"[{number}/{len(found)}] {item.prompt}: {item.error or _best(done[item.folder])}")
    return done


def _explain_one(model: Adapter, options: Options, item: Item, folder: Path) -> Explanation | None:
    """Explain one prompt; what goes wrong is noted in ``item``, whatever it is."""
    try:
        options.check()
        with output_folder(folder / item.folder) as place:
            made = run_with(model, options, place, Stages()).explanation
    except XattnmaskError as error:
        item.error = " ".join(str(error).split())
    except Exception as error:
        item.error = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
    else:
        return replace(made, audio={}, sample_rate=0)
    return None


def _finished(folder: Path, prompt: str) -> Explanation | None:
    """The explanation in ``folder`` if it is whole (it is written last) and of this prompt."""
    from ..results import Explanation

    try:
        found = Explanation.load(folder, audio=False)
    except FormatError:
        return None
    return found if found.prompt == prompt else None


def _note(found: Sequence[Item], done: dict[str, Explanation], folder: Path, given: dict[str, Any]) -> None:
    """Write how far the batch has come, for people and for going on."""
    from ..render import index_page
    from ..render.pages import Entry
    from ..results.files import write_file

    entries = [Entry(item.prompt, item.folder, done[item.folder].words() if item.folder in done else None, item.error,
                     report=(folder / item.folder / FILES["report"]).exists()) for item in found]
    index_page(entries, folder / INDEX)
    text = state_text(found, given)
    write_file(folder / STATE, lambda path: path.write_text(text, encoding="utf-8"))


def _best(explanation: Explanation) -> str:
    return ", ".join(f"{row.text} {row.importance:.2f}" for row in explanation.words().sorted()[:3])


def _summary(found: Sequence[Item], done: dict[str, Explanation], folder: Path) -> dict[str, Any]:
    return {"index": str((folder / INDEX).resolve()), "prompts": [
        {"prompt": item.prompt, "folder": str((folder / item.folder).resolve()), "error": item.error,
         "words": done[item.folder].words().as_dicts() if item.folder in done else None} for item in found]}
