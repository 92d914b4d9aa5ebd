"""Options and arguments that several commands share."""

from __future__ import annotations

import typer

from ..loading import DTYPES

DEBUG = typer.Option(False, "--debug", help="Show where an unexpected error came from.")
AS_JSON = typer.Option(False, "--json", help="Print one JSON object in place of the text.")
DEVICE = typer.Option("cpu", help="cpu, cuda, cuda:1, mps or xpu.")
DTYPE = typer.Option("float32", help=f"{', '.join(DTYPES[:-1])} or {DTYPES[-1]}.")
REPORT = typer.Option(True, "--report/--no-report", help="Write report.html, a page that shows and plays it all.")
SAVED = typer.Argument(..., metavar="DIR", help="Folder that explain wrote, or its explanation.json.")
