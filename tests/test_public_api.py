"""The names users import, and what importing them costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xattnmask
from xattnmask import errors

HEAVY = ("torch", "matplotlib", "pandas", "xarray", "transformers", "rich", "typer", "soundfile", "soxr", "jinja2",
         "IPython")


@pytest.mark.parametrize("name", xattnmask.__all__)
def test_every_public_name_is_there(name):
    assert getattr(xattnmask, name) is not None


def test_all_is_what_can_be_had_and_is_listed():
    assert set(xattnmask.__all__) == {*xattnmask._HOME, "__version__"}
    assert set(xattnmask.__all__) <= set(dir(xattnmask))


def test_every_error_is_public():
    defined = {name for name, value in vars(errors).items() if getattr(value, "__module__", None) == errors.__name__}
    assert defined <= set(xattnmask.__all__)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(xattnmask.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == xattnmask._HOME


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        xattnmask.nothing  # noqa: B018


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_imports_nothing_heavy():
    assert run(f"import sys, xattnmask; print([m for m in {HEAVY!r} if m in sys.modules])") == "[]"


def test_importing_imports_little():
    """Of the standard library too: 41 modules at the time of writing."""
    count = run("import sys; before = set(sys.modules); import xattnmask; print(len(set(sys.modules) - before))")
    assert int(count) <= 60


def test_patch_is_the_function_after_its_package_was_imported():
    assert run("import xattnmask.patching, xattnmask; print(callable(xattnmask.patch))") == "True"


def test_hookimpl_marks_for_this_project():
    @xattnmask.hookimpl
    def xattnmask_start():
        pass

    assert hasattr(xattnmask_start, "xattnmask_impl")
