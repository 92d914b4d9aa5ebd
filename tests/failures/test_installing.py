"""Installation pins: a library that demands one exact version of another cannot be installed beside anything."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
ROOT = Path(__file__).parents[2]
PROJECTS = sorted([ROOT / "pyproject.toml", *ROOT.glob("adapters/*/pyproject.toml"),
                   *ROOT.glob("examples/*/pyproject.toml")])  # fmt: skip


def requirements(file):
    project = tomllib.loads(file.read_text())["project"]
    return [*project["dependencies"], *(line for extra in project.get("optional-dependencies", {}).values()
                                        for line in extra)]  # fmt: skip


@pytest.mark.parametrize("file", PROJECTS, ids=lambda file: file.parent.name)
def test_no_distribution_pins_or_caps_another(file):
    """Lower bounds alone; the versions that were tested together are in constraints.txt."""
    assert requirements(file)
    assert not [line for line in requirements(file) if re.search(r"==|===|~=|<", line.partition(";")[0])]


def test_the_core_needs_no_model_library():
    names = {re.match(r"[\w-]+", line)[0] for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "dependencies"]}  # fmt: skip
    assert not names & {"transformers", "diffusers", "audiocraft", "accelerate"}
