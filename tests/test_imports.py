"""Which part may import which: the rules of docs/design.md, read from the source, imports inside functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import xattnmask

CORE = Path(xattnmask.__file__).parent
LIBRARIES = {
    "transformers", "diffusers", "audiocraft", "xattnmask_transformers", "xattnmask_diffusers", "xattnmask_audiocraft",
    "xattnmask_foley",
}  # fmt: skip
PARTS = sorted(p.stem for p in CORE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists())
MODELS = {"adapter", "generation", "sites", "patching", "replaying", "methods", "explainer", "loading", "plugins"}


def imported(path: Path) -> Iterator[str]:
    """Modules that a file of the core imports: ``torch``, or ``xattnmask.results`` for a relative import."""
    package = ["xattnmask", *path.relative_to(CORE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) + 1 - node.level], *([node.module] if node.module else [])]
            yield from [".".join(base)] if node.module else (".".join([*base, alias.name]) for alias in node.names)


def imports_of(part: str) -> dict[str, set[str]]:
    """What the files of a part import, by file."""
    files = [CORE / f"{part}.py"] if (CORE / f"{part}.py").exists() else sorted((CORE / part).rglob("*.py"))
    assert files
    return {str(file.relative_to(CORE)): set(imported(file)) for file in files}


def forbidden(part: str, outside: set[str] = frozenset(), inside: set[str] = frozenset()) -> dict[str, set[str]]:
    """Imports of a part that it must not have: outside packages, and other parts of the core."""
    def bad(name: str) -> bool:
        first, *rest = name.split(".")
        return first in outside or (first == "xattnmask" and bool(rest) and rest[0] in inside)

    return {file: found for file, names in imports_of(part).items() if (found := {n for n in names if bad(n)})}


def test_imports_are_found():
    """Or all that follows would be true of nothing."""
    assert "torch" in imports_of("objective")["objective.py"]
    assert {"xattnmask.errors", "xattnmask.patching.call"} <= imports_of("patching")["patching/mode.py"]
    assert "xattnmask.results" in imports_of("cli")["cli/folder.py"]  # inside a function


@pytest.mark.parametrize("part", PARTS)
def test_no_part_knows_a_model_library_or_an_adapter(part):
    assert not forbidden(part, outside=LIBRARIES)


@pytest.mark.parametrize("part", [
    "results", "render", "text", "errors", "events", "sound", "html", "edits", "positions", "prompt_file", "optional"])
def test_what_needs_no_model_imports_none_and_no_torch(part):
    assert not forbidden(part, outside={"torch"}, inside=MODELS)


def test_the_objective_knows_no_model():
    assert not forbidden("objective", inside=MODELS | {"results", "render", "masks"})


@pytest.mark.parametrize("part", ["patching", "masks", "adapter", "generation", "sites"])
def test_the_lower_parts_know_nothing_of_what_is_built_on_them(part):
    above = {"replaying", "methods", "explainer", "loading", "results", "render", "cli", "plugins", "objective"}
    assert not forbidden(part, inside=above)


@pytest.mark.parametrize("part", ["metrics", "judges"])
def test_metrics_know_nothing_of_what_is_evaluated_with_them(part):
    assert not forbidden(part, inside={"evaluation", "studies", "explainer", "cli", "render"})


@pytest.mark.parametrize("part", ["methods", "replaying", "explainer", "loading", "plugins", "results"])
def test_nothing_but_the_command_knows_the_command_or_figures(part):
    assert not forbidden(part, inside={"cli", "render"})
