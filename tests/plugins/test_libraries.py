"""Requirements read from metadata."""

from __future__ import annotations

import pytest

from xattnmask.plugins.libraries import backbone_libraries, libraries


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
