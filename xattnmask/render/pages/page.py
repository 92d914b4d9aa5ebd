"""Pages from templates: styles, scripts and data in one file, escaped, and closed to the network by their policy."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

SCRIPTS = ("vendor/wavesurfer.min.js", "vendor/regions.min.js", "colours.js", "words.js", "player.js", "report.js")
"""Those of most pages, in the order in which they run; the first two are wavesurfer.js."""


def page(template: str, data: Mapping[str, Any], scripts: Sequence[str] = SCRIPTS) -> str:
    """``template`` filled with ``data``, which its scripts find as JSON in the element ``data``.

    A page without scripts has no such element.
    """
    sources = [_source(name) for name in scripts]
    return _templates().get_template(template).render(
        **data, data=_json(data), style=_source("report.css"), scripts=sources, policy=_policy(sources),
        version=_version(), licence=_source("vendor/LICENSE") if scripts == SCRIPTS else "")


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined,
                       trim_blocks=True, lstrip_blocks=True)


@cache
def _source(name: str) -> str:
    return files(__package__).joinpath(f"static/{name}").read_text(encoding="utf-8")


def _json(data: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element, whatever its strings hold: no ``<`` is left to end or open one."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(scripts: list[str]) -> str:
    """A content security policy: these scripts and no others, and no address but those inside the page."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
            "media-src data: blob:; base-uri 'none'; form-action 'none'")


def _version() -> str:
    from ... import __version__

    return str(__version__)
