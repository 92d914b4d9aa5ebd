"""Requirements read from metadata."""

from __future__ import annotations

import pytest

from xattnmask.plugins.libraries import INSTALLERS, backbone_libraries, libraries, missing_library


@pytest.mark.parametrize(("line", "name", "requirement", "optional"), [
    ("pluggy", "pluggy", "pluggy", False),
    ("pluggy>=1.5", "pluggy", "pluggy>=1.5", False),
    ("pluggy (>=1.5,<2)", "pluggy", "pluggy>=1.5,<2", False),
    ("pluggy >= 1.5 ; python_version >= '3'", "pluggy", "pluggy>=1.5", False),
    ("pluggy[dev] ~= 1.5; extra == 'test'", "pluggy", "pluggy[dev]~=1.5", True),
])
def test_requirements(alone, line, name, requirement, optional):
    alone.add("d", {}, requires=[line])
    (library,) = libraries("d")
    assert (library.name, library.requirement, library.optional) == (name, requirement, optional)
    assert library.installed


def test_a_distribution_that_is_not_installed_requires_nothing():
    assert libraries("no-such-distribution") == []


def test_the_core_and_what_the_core_needs_are_no_backbone_libraries(alone):
    alone.add("d", {}, requires=["xattnmask>=0.1", "Torch", "numpy", "no-such-library>=4", "pytest; extra == 'test'"])
    assert [(library.name, library.installed) for library in backbone_libraries("d")] == [("no-such-library", None)]


def test_a_library_that_is_no_dependency_is_known_by_its_installer(alone):
    alone.add("d", {INSTALLERS: {"no-such-library": "d_plugin.install"}}, requires=["xattnmask"])
    (library,) = backbone_libraries("d")
    assert (library.name, library.installed, library.pip_line) == (
        "no-such-library", None, "python -m d_plugin.install")
    for error in (ModuleNotFoundError("no", name="no_such_library"), ImportError("bad", name="no_such_library.part")):
        assert str(missing_library(error, "p", "d", "d_plugin")).endswith(": python -m d_plugin.install")
