"""Which libraries a plugin's distribution needs, by its metadata, and the pip line for one that is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata

from ..errors import MissingLibraryError

INSTALLERS = "xattnmask.installers"
"""Entry-point group of libraries that pip cannot install as dependencies: name the library, value the module whose
``python -m`` installs it. Read from metadata alone, never loaded."""

_COMMON = {"xattnmask", "torch", "numpy"}
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?$")


@dataclass(frozen=True)
class Library:
    """A library that a distribution requires.

    Attributes:
        name: as pip knows it.
        requirement: what to give to pip, with the version range.
        installed: the installed version, or None.
        optional: it belongs to an extra of the distribution, or to other platforms.
        installer: the module whose ``python -m`` installs it, for one that is no dependency (see INSTALLERS).
    """

    name: str
    requirement: str
    installed: str | None
    optional: bool = False
    installer: str | None = None

    @property
    def pip_line(self) -> str:
        """The line to type to install it."""
        if self.installer:
            return f"python -m {self.installer}"
        return f'pip install "{self.requirement}"' if re.search(r"[<>=!~\[ ]", self.requirement) else (
            f"pip install {self.requirement}"
        )


def libraries(distribution: str) -> list[Library]:
    """What ``distribution`` requires, in its own order; optional requirements included and marked.

    Last come the libraries that it has an installer for.
    """
    try:
        lines = metadata.requires(distribution) or []
        entries = metadata.distribution(distribution).entry_points
    except Exception:  # not installed, or damaged: nothing is known
        return []
    required = [library for line in lines if (library := _parse(line))]
    return required + [
        Library(entry.name, entry.name, _installed(entry.name), installer=entry.value)
        for entry in entries
        if entry.group == INSTALLERS
    ]


def backbone_libraries(distribution: str) -> list[Library]:
    """What an adapter's distribution requires beyond the core and what the core itself requires."""
    common = _COMMON | {normalized(library.name) for library in libraries("xattnmask") if not library.optional}
    return [
        library
        for library in libraries(distribution)
        if not library.optional and normalized(library.name) not in common
    ]


def missing_library(error: ImportError, plugin: str, distribution: str, module: str) -> MissingLibraryError | None:
    """The error for a plugin that could not import its library, or None when its own module is at fault.

    Args:
        error: what importing or calling the plugin raised.
        plugin: how to name the plugin in the message.
        distribution: the plugin's distribution, whose metadata names the libraries.
        module: the module the plugin lives in.
    """
    wanted = (error.name or "").partition(".")[0]
    if wanted in {module.partition(".")[0], "xattnmask"}:
        return None
    known = libraries(distribution)
    if not wanted:
        pip_lines = _pip_lines(library for library in _absent(known) if not library.installer)
        return MissingLibraryError(f"{plugin} needs {pip_lines[0]}: {pip_lines[1]}") if pip_lines else None
    if not isinstance(error, ModuleNotFoundError):
        library = _provider(wanted, known)
        found = f"{wanted} {library.installed}" if library.installed else wanted
        line = library.pip_line if library.installer else library.pip_line.replace("install", "install --upgrade", 1)
        return MissingLibraryError(f"{plugin} cannot use the installed {found} ({_first_line(error)}): {line}")
    return MissingLibraryError(f"{plugin} needs {wanted}, which is not installed: {_provider(wanted, known).pip_line}")


def normalized(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _provider(module: str, known: list[Library]) -> Library:
    """The requirement that most likely provides ``module``: by name, else the only one absent, else its own name."""
    named = [library for library in known if normalized(library.name) == normalized(module)]
    absent = _absent(known)
    if named:
        return named[0]
    return absent[0] if len(absent) == 1 else Library(module, module, None)


def _absent(known: Iterable[Library]) -> list[Library]:
    return [library for library in known if not library.installed and not library.optional]


def _pip_lines(absent: Iterable[Library]) -> tuple[str, str] | None:
    found = list(absent)
    if not found:
        return None
    requirements = " ".join(library.pip_line.removeprefix("pip install ") for library in found)
    return ", ".join(library.name for library in found), f"pip install {requirements}"


def _parse(line: str) -> Library | None:
    match = _REQUIREMENT.match(line)
    if not match:
        return None
    name, extras, versions, marker = match.groups()
    requirement = f"{name}{extras or ''}{versions.strip()}".replace(" ", "")
    return Library(name, requirement, _installed(name), optional=marker is not None and "extra" in marker)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except Exception:
        return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
