"""Tables as Markdown, with the command that made them and the machine they were made on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import torch


def table(rows: Sequence[Mapping[str, str]], command: str, device: str = "cpu") -> str:
    """A Markdown table of ``rows``; columns in order of first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(row.get(name, "") for name in columns) + " |" for row in rows]
    return "\n".join([*lines, "", f"`{command}`, {machine(device)}", ""])


def machine(device: str = "cpu") -> str:
    """The size of this machine, its GPU if ``device`` is one, and the versions that matter."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers"))
    gpu = f"{torch.cuda.get_device_name()}, " if device != "cpu" else ""
    return f"{gpu}{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, {versions}"


def write(path: Path, text: str) -> None:
    """Write ``text``, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
