"""``xattnmask plot``: figures of a saved explanation."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from ..errors import SettingError
from ..plugins.discovery import nearest
from .shared import AS_JSON, DEBUG, SAVED

KINDS = ("heatmap", "words", "steps", "map", "comparison")


def complete_kind(incomplete: str) -> list[str]:
    """Shell completion of ``--kind``."""
    return [kind for kind in KINDS if kind.startswith(incomplete)]


def plot(
    saved: str = SAVED,
    kind: str = typer.Option(
        "heatmap", metavar="|".join(KINDS), autocompletion=complete_kind,
        help="Words by time under the spectrogram; words as bars with their spread over time; denoising steps by "
             "words; attention on words by time and frequency; or what differs from --other."),
    word: list[str] = typer.Option(  # noqa: B008 - typer's own way to take an option several times
        [], metavar="WORD", help="A word whose map is drawn (--kind map); may be repeated. (default: all)"),
    other: str | None = typer.Option(None, metavar="DIR", help="The explanation to compare with."),
    out: str = typer.Option("plot.svg", metavar="FILE", help="Where to write it: .svg, .pdf or .png."),
    as_json: bool = AS_JSON,
    debug: bool = DEBUG,
) -> None:
    """Draw the explanation saved in DIR."""
    if kind not in KINDS:
        raise SettingError(f"no kind {kind!r}: {nearest(kind, KINDS)}")
    if (kind == "comparison") != (other is not None):
        raise SettingError("--kind comparison and --other DIR go together")
    if word and kind != "map":
        raise SettingError("--word goes with --kind map")
    _draw(saved, kind, other, word, out)
    path = Path(out).resolve()
    typer.echo(json.dumps({"kind": kind, "file": str(path)}, indent=2) if as_json else f"{kind} is in {out}")


def _draw(saved: str, kind: str, other: str | None, words: list[str], out: str) -> None:
    from .. import render
    from ..results import Explanation, compare

    explanation = Explanation.load(saved, audio=kind in ("heatmap", "map"))
    if other is not None:
        render.comparison_plot(compare(explanation, Explanation.load(other, audio=False)), out)
    elif kind == "map":
        render.map_plot(explanation, words or None, out)
    else:
        {"heatmap": render.heatmap, "words": render.words_plot, "steps": render.steps_plot}[kind](explanation, out)
