"""The documentation is true: its Python runs, its links lead somewhere, and what is public is in it."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import typer

import xattnmask
from xattnmask import errors
from xattnmask.cli import app
from xattnmask.methods.atman import AtManSettings
from xattnmask.methods.attention import AttentionSettings
from xattnmask.methods.grad_cam import GradCamSettings
from xattnmask.methods.gradients import GradientSettings
from xattnmask.methods.integrated_gradients import IntegratedGradientsSettings
from xattnmask.methods.learned_settings import PAPER, LearnedSettings
from xattnmask.methods.leave_one_out import LeaveOneOutSettings
from xattnmask.methods.random import RandomSettings
from xattnmask.methods.rollout import RolloutSettings
from xattnmask.methods.shapley import ShapleySettings
from xattnmask.plugins import hookspecs
from xattnmask.plugins.discovery import METHODS
from xattnmask.testing import CHECKS

tomllib = pytest.importorskip("tomllib" if __import__("sys").version_info >= (3, 11) else "tomli")

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("adapters/*/README.md"),
                *ROOT.glob("examples/*/*.md")])  # fmt: skip
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
EVERYTHING = "\n".join(TEXT.values())
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, what stands behind it (``no-run``, ``file=NAME``), its code and first line."""

    language: str
    mark: str
    code: str
    line: int


def blocks(page: Path, language: str | None = None) -> list[Block]:
    found = [
        Block(m[1], m[2].strip(), m[3], TEXT[page][: m.start()].count("\n") + 2) for m in FENCE.finditer(TEXT[page])
    ]
    return [block for block in found if language in (None, block.language)]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    return FENCE.sub("", TEXT[page])


def with_code(page: Path) -> bool:
    return any(not block.mark.startswith("no-run") for block in blocks(page, "python"))


@pytest.fixture
def installed(toy, tmp_path, monkeypatch):
    """The toy in the place of foley-musicgen, the built-in methods, and a working directory of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    toy.add("methods", {METHODS: project["entry-points"][METHODS]})
    monkeypatch.chdir(tmp_path)
    return toy


@pytest.mark.parametrize("page", [*filter(with_code, PAGES)], ids=name)
def test_python_runs(page, installed):
    """The blocks of a page, one after another in one namespace; ``file=`` blocks are modules of one distribution."""
    files = {b.mark.removeprefix("file="): b.code for b in blocks(page) if b.mark.startswith("file=")}
    if "pyproject.toml" in files:
        project = tomllib.loads(files["pyproject.toml"])["project"]
        modules = {file.removesuffix(".py"): code for file, code in files.items() if file.endswith(".py")}
        installed.add(project["name"], project["entry-points"], version=project["version"],
                      requires=project["dependencies"], modules=modules)  # fmt: skip
    namespace: dict[str, object] = {"__name__": "docs"}
    for block in blocks(page, "python"):
        if not block.mark:
            exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec", dont_inherit=True), namespace)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_compiles_and_is_marked_right(page):
    for block in blocks(page, "python"):
        assert re.fullmatch(r"|no-run|file=[\w.]+", block.mark), f"{name(page)}:{block.line}"
        compile(block.code, f"{name(page)}:{block.line}", "exec")


def test_the_example_adapter_is_short():
    (block,) = [b for b in blocks(ROOT / "docs/adapters.md") if b.mark == "file=xattnmask_chirp.py"]
    assert len(block.code.splitlines()) < 80


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_shell_options_exist(page):
    commands = typer.main.get_command(app).commands
    for block in blocks(page, "sh"):
        for line in block.code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["xattnmask"] and not words[1].startswith("-"):
                known = {option for parameter in commands[words[1]].params for option in parameter.opts}
                assert {word for word in words if word.startswith("--")} <= known, line


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shell = "".join(block.code for page in PAGES for block in blocks(page, "sh"))
    named = set(re.findall(r"`make (\w+)", EVERYTHING)) | set(re.findall(r"^make (\w+)", shell, re.MULTILINE))
    assert named and named <= targets


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("public", xattnmask.__all__)
def test_public_names_are_documented(public):
    assert re.search(rf"(?<![\w]){re.escape(public)}(?![\w])", EVERYTHING)


@pytest.mark.parametrize("public", sorted({*xattnmask.__all__} - {"__version__", "XattnmaskError"} - set(vars(errors))))
def test_public_names_are_in_the_reference(public):
    """By a directive of their own; errors are listed as a module."""
    assert re.search(rf"^\.\. auto\w+:: {public}$", TEXT[ROOT / "docs/reference.md"], re.MULTILINE)


def test_the_checks_of_the_kit_are_documented_in_their_order():
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", section("docs/conformance.md", "checks"), re.MULTILINE)
    assert rows == [(check.name, check.claim) for check in CHECKS]


def test_every_page_is_in_the_index():
    index = TEXT[ROOT / "docs/index.md"]
    listed = set(re.findall(r"^(\w[\w-]*)$", index, re.MULTILINE))
    assert {page.stem for page in ROOT.glob("docs/*.md")} - {"index"} == listed


@pytest.mark.parametrize("hook", [n for n in vars(hookspecs) if n.startswith("xattnmask_")])
def test_hooks_are_documented_with_their_signatures(hook):
    signature = str(inspect.signature(getattr(hookspecs, hook))).replace("'", "")
    assert f"{hook}{signature}" in TEXT[ROOT / "docs/plugins.md"]


@pytest.mark.parametrize("error", [e for e in vars(errors).values() if isinstance(e, type)], ids=lambda e: e.__name__)
def test_errors_have_a_section_each(error):
    assert f"\n## {error.__name__}\n" in TEXT[ROOT / "docs/errors.md"]


@pytest.mark.parametrize("settings", [
    LearnedSettings, RandomSettings, AttentionSettings, RolloutSettings, GradientSettings, GradCamSettings,
    LeaveOneOutSettings, AtManSettings, IntegratedGradientsSettings, ShapleySettings,
])  # fmt: skip
def test_settings_are_documented_with_their_defaults(settings):
    page = "docs/method.md" if settings is LearnedSettings else "docs/methods.md"
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", section(page, settings.__name__), re.MULTILINE))
    assert rows == {field.name: repr(field.default).replace("'", '"') for field in fields(settings)}


def test_every_built_in_method_has_a_section():
    built_in = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][METHODS]
    missing = [key for key in built_in if f"\n## {key}\n" not in TEXT[ROOT / "docs/methods.md"]]
    assert missing == ["learned"]  # it has a page of its own


def test_the_paper_preset_is_documented():
    rows = re.findall(r"^\| `(\w+)` \| `[^`]*` \| `([^`]*)` \|", section("docs/method.md", "LearnedSettings"), re.M)
    assert dict(rows) == {key: repr(value).replace("'", '"') for key, value in PAPER.items()}


def section(page: str, marker: str) -> str:
    """What stands between ``<!-- marker -->`` and the next such comment or the end."""
    return TEXT[ROOT / page].partition(f"<!-- {marker} -->")[2].partition("<!--")[0]
