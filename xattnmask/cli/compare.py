"""``xattnmask compare``: two saved explanations, word by word."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from .shared import AS_JSON, DEBUG, SAVED


def compare(
    first: str = SAVED,
    second: str = SAVED,
    out: str | None = typer.Option(None, metavar="FILE", help="Write a page that shows both, as .html."),
    as_json: bool = AS_JSON,
    debug: bool = DEBUG,
) -> None:
    """Tell how much more each word matters in the explanation saved in the second DIR than in the first."""
    from ..results import Explanation
    from ..results import compare as compare_explanations

    found = compare_explanations(*(Explanation.load(saved, audio=out is not None) for saved in (first, second)))
    if out is not None:
        from ..render import comparison_report

        comparison_report(found, out)
    if as_json:
        typer.echo(json.dumps({**found.as_dict(), "report": out and str(Path(out).resolve())}, indent=2))
        return
    _print(str(found), found.relative)
    if out is not None:
        typer.echo(f"the page is {out}")


def _print(table: str, relative: bool) -> None:
    of = ", in shares of each one's highest word" if relative else ""
    typer.echo(f"the second less the first{of}:\n{table}")
