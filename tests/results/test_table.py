from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from xattnmask.results import WordScore, WordTable
from xattnmask.results.bars import cells, format_rows

TABLE = WordTable([WordScore("a", 0, 1, 0.1), WordScore("dog", 2, 5, 0.8), WordScore("a", 6, 7, 0.1)])


def test_sequence():
    assert len(TABLE) == 3 and TABLE[1].text == "dog" and TABLE[-1].start == 6
    assert isinstance(TABLE[:2], WordTable) and len(TABLE[:2]) == 2
    assert [row.text for row in TABLE] == ["a", "dog", "a"]
    assert WordTable(list(TABLE)) == TABLE and hash(WordTable(list(TABLE))) == hash(TABLE)


def test_sorted_is_stable():
    assert [row.start for row in TABLE.sorted()] == [2, 0, 6]


def test_as_dicts_is_json():
    assert json.loads(json.dumps(TABLE.as_dicts()))[1] == {"text": "dog", "start": 2, "end": 5, "importance": 0.8}


def test_str_aligns():
    lines = str(TABLE).splitlines()
    assert lines[0].startswith("a       0.100  █") and lines[1].startswith("dog     0.800  █")
    assert lines[1].count("█") == 40


def test_negative_and_zero_have_no_bar():
    assert "█" not in format_rows([("a", -1.0), ("b", 0.0)])
    assert format_rows([]) == "(no words)"


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=60), st.floats(-1e30, 1e30)), max_size=8),
       st.integers(20, 120), st.booleans())
def test_never_wider_than_asked_nor_unprintable(rows, width, ascii_only):
    text = format_rows(rows, width, ascii_only)
    lines = text.splitlines()
    assert len(lines) == max(len(rows), 1)
    assert all(cells(line) <= width and line.isprintable() for line in lines)
    assert text.isascii() or not ascii_only
