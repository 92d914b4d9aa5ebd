"""A distribution skeleton for a new adapter, with its blanks marked: what ``xattnmask new-adapter`` writes."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from string import Template

from ..errors import OutputError, SettingError

FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "adapter.py": "{module}.py",
    "test_adapter.py": "tests/test_{module}.py",
}
"""The files of the template, and what they are called in the distribution."""


def write_adapter(name: str, folder: Path) -> list[Path]:
    """Write the skeleton of an adapter with the model key ``name`` into ``folder``, which must be empty or absent.

    Returns:
        the files that were written.

    Raises:
        SettingError: ``name`` is not one word of small letters, digits and hyphens that starts with a letter.
        OutputError: the folder holds something, or cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise SettingError(f"a model key is small letters, digits and single hyphens, as in my-model, not {name!r}")
    names = _names(name)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(f"{folder} holds something already: give an empty folder with --out")
        return [_write(folder / target.format(**names), file, names) for file, target in FILES.items()]
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error


def _names(name: str) -> dict[str, str]:
    title = "".join(part.capitalize() for part in name.split("-"))
    return {"key": name, "distribution": f"xattnmask-{name}", "module": f"xattnmask_{name.replace('-', '_')}",
            "title": title}


def _write(path: Path, file: str, names: dict[str, str]) -> Path:
    source = resources.files(__name__).joinpath("template").joinpath(f"{file}.txt").read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Template(source).substitute(names), encoding="utf-8")
    return path
