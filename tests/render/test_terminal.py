from __future__ import annotations

import io

from rich.console import Console

from xattnmask.render import format_words, print_words
from xattnmask.results import WordScore, WordTable
from xattnmask.results.bars import cells

TABLE = WordTable([WordScore("dog", 0, 3, 0.9), WordScore("x" * 200, 4, 204, 0.3),
                   WordScore("[red]\x1b[2J", 205, 214, 0)])


def printed(table, encoding="utf-8", **options):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_words(table, Console(file=stream, **options))
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_plain_when_piped():
    text = printed(TABLE, width=80)
    assert "\x1b" not in text
    assert text.rstrip("\n") == format_words(TABLE)


def test_colour_in_a_terminal_changes_nothing_but_colour():
    text = printed(TABLE, width=80, force_terminal=True, color_system="standard")
    assert "\x1b[36m█" in text and "\x1b[2J" not in text


def test_fits_and_truncates():
    for width in (20, 40, 80):
        lines = format_words(TABLE, width).splitlines()
        assert len(lines) == 3 and max(map(cells, lines)) <= width
        assert "…" in lines[1] and "[re" in lines[2]
    assert max(map(cells, printed(TABLE, width=300).splitlines())) <= 80


def test_ascii_where_nothing_else_can_be_printed():
    text = printed(TABLE, encoding="ascii", width=80)
    assert "#" in text and "..." in text
    assert printed(WordTable([WordScore("犬", 0, 1, 1.0)]), encoding="latin-1", width=80).startswith("?")


def test_no_words():
    assert printed(WordTable()).strip() == "(no words)"
