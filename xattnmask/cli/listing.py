"""``xattnmask models``, ``methods``, ``judges`` and ``worlds``: what is installed, from metadata alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

from ..listing import ModelInfo, list_checkpoints, list_judges, list_methods, list_models, list_worlds
from ..plugins.discovery import ADAPTERS, JUDGES, KINDS, METHODS, WORLDS, Offer, nothing_installed
from ..plugins.summary import summary
from .shared import AS_JSON, DEBUG


def models(as_json: bool = AS_JSON, debug: bool = DEBUG) -> None:
    """List the installed models and named checkpoints; none of them is imported."""
    found, checkpoints = list_models(), list_checkpoints()
    if as_json:
        typer.echo(json.dumps({
            "models": [_model_data(model) for model in found],
            "checkpoints": [_offer_data(offer) for offer in checkpoints],
        }, indent=2))
        return
    if found:
        _table(("MODEL", "DISTRIBUTION", "VERSION", "LIBRARY", "STATUS"), [_model_row(model) for model in found])
    else:
        typer.echo(nothing_installed(ADAPTERS))
    if checkpoints:
        typer.echo()
        _table(("CHECKPOINT", "DISTRIBUTION", "VERSION", "STATUS"), [_offer_row(offer) for offer in checkpoints])


def methods(as_json: bool = AS_JSON, debug: bool = DEBUG) -> None:
    """List the installed attribution methods, each with a line on what it is; none of them is imported."""
    _list(METHODS, list_methods(), as_json)


def judges(as_json: bool = AS_JSON, debug: bool = DEBUG) -> None:
    """List the installed judges, the audio classifiers that metrics use; none of them is imported."""
    _list(JUDGES, list_judges(), as_json)


def worlds(as_json: bool = AS_JSON, debug: bool = DEBUG) -> None:
    """List the installed worlds, whose captions have known causes; none of them is imported."""
    _list(WORLDS, list_worlds(), as_json)


def _list(group: str, found: Sequence[Offer], as_json: bool) -> None:
    kind = KINDS[group]
    if as_json:
        data = [{**_offer_data(offer), "description": summary(offer)} for offer in found]
        typer.echo(json.dumps({f"{kind}s": data}, indent=2))
    elif found:
        head = (kind.upper(), "DISTRIBUTION", "VERSION", "STATUS", "DESCRIPTION")
        _table(head, [[*_offer_row(offer), summary(offer)] for offer in found])
    else:
        typer.echo(nothing_installed(group))


def _model_data(model: ModelInfo) -> dict[str, Any]:
    return {
        "key": model.key,
        "distribution": model.distribution,
        "version": model.version,
        "libraries": [
            {"name": library.name, "requirement": library.requirement, "installed": library.installed}
            for library in model.libraries
        ],
        "status": model.status,
    }


def _offer_data(offer: Offer) -> dict[str, Any]:
    return {"key": offer.key, "distribution": offer.distribution, "version": offer.version, "status": offer.status}


def _model_row(model: ModelInfo) -> list[str]:
    libraries = (f"{library.name} {library.installed or 'not installed'}" for library in model.libraries)
    return [model.key, model.distribution, model.version, ", ".join(libraries) or "-", model.status]


def _offer_row(offer: Offer) -> list[str]:
    return [offer.key, offer.distribution, offer.version, offer.status]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
