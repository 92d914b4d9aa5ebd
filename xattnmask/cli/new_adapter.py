"""``xattnmask new-adapter``: the skeleton of a distribution, for those who write an adapter."""

from __future__ import annotations

from pathlib import Path

import typer

from .shared import DEBUG


def new_adapter(
    name: str = typer.Argument(..., metavar="NAME", help="The model key that users will type, as in my-model."),
    out: str | None = typer.Option(None, metavar="DIR", help="Folder for the files. (default: xattnmask-NAME)"),
    debug: bool = DEBUG,
) -> None:
    """Write the skeleton of an adapter's distribution; what is left to write is marked BLANK."""
    from ..scaffold import write_adapter

    files = write_adapter(name, Path(out or f"xattnmask-{name}"))
    for file in files:
        typer.echo(file)
    typer.echo(f"fill what is marked BLANK, then: pip install -e {files[0].parent}, and: xattnmask check {name}")
