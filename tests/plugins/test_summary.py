"""What a plugin says of itself, without being imported."""

from __future__ import annotations

import sys

import pytest

from xattnmask.listing import list_methods
from xattnmask.plugins.discovery import METHODS
from xattnmask.plugins.summary import summary


@pytest.mark.parametrize(("source", "line"), [
    ('"""One line.\n\nAnd more."""\nraise RuntimeError("imported")', "One line."),
    ("'Single quotes'", "Single quotes"),
    ("x = 1", ""),
    ("def broken(:", ""),
])
def test_the_first_line_of_the_docstring(alone, source, line):
    alone.add("some-methods", {METHODS: {"some": "some_method:thing"}}, modules={"some_method": source})
    (offer,) = list_methods()
    assert summary(offer) == line
    assert "some_method" not in sys.modules


def test_nor_are_the_packages_above_it(alone):
    folder = alone.site / "some_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "inner.py").write_text('"""From inside."""')
    alone.add("some-methods", {METHODS: {"some": "some_package.inner", "gone": "some_package.nowhere"}})
    assert [(offer.key, summary(offer)) for offer in list_methods()] == [("gone", ""), ("some", "From inside.")]
    assert "some_package" not in sys.modules


def test_a_module_that_is_not_there(alone):
    alone.add("some-methods", {METHODS: {"some": "no_such_module", "built-in": "sys"}})
    assert {summary(offer) for offer in list_methods()} == {""}
