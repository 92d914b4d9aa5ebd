"""Words and numbers as aligned plain text with bars, safe to print whatever the words hold."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

NO_WORDS = "(no words)"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_NUMBER = 8
_GAPS = 4
_LONGEST_BAR = 40


def format_rows(rows: Sequence[tuple[str, float]], width: int = 80, ascii_only: bool = False) -> str:
    """One line a row: word, number, and a bar relative to the highest; no line is wider than ``width`` cells.

    Long words end in an ellipsis. Control characters are replaced, so a prompt cannot drive the terminal.
    ``ascii_only`` keeps to ASCII. A width below 20 is taken as 20.
    """
    if not rows:
        return NO_WORDS
    width = max(width, 20)
    label_width = min(max(cells(printable(word)) for word, _ in rows), (width - _NUMBER - _GAPS) // 2)
    bar_width = min(width - label_width - _NUMBER - _GAPS, _LONGEST_BAR)
    top = max(value for _, value in rows)
    return "\n".join(
        f"{fit(word, label_width, ascii_only)}  {number(value):>{_NUMBER}}  "
        f"{bar(value / top if top > 0 else 0.0, bar_width, ascii_only)}".rstrip()
        for word, value in rows
    )


def number(value: float) -> str:
    """Three decimals, or a power of ten where those say nothing; at most 8 characters."""
    return f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 1000 else f"{value:.1e}"


def bar(share: float, width: int, ascii_only: bool = False) -> str:
    """A bar of ``share`` (clipped to 0..1) of ``width`` cells, to an eighth of a cell unless ASCII."""
    share = min(max(share, 0.0), 1.0)
    if ascii_only:
        return "#" * round(share * width)
    full, rest = divmod(round(share * width * 8), 8)
    return "█" * full + _EIGHTHS[rest].strip()


def fit(text: str, width: int, ascii_only: bool = False) -> str:
    """``text`` cut or padded to exactly ``width`` terminal cells."""
    text = printable(text, ascii_only)
    if cells(text) > width:
        ellipsis = "..." if ascii_only else "…"
        while text and cells(text) + len(ellipsis) > width:
            text = text[:-1]
        text += ellipsis
    return text + " " * (width - cells(text))


def printable(text: str, ascii_only: bool = False) -> str:
    """``text`` with what cannot be printed (control characters, lone surrogates) replaced."""
    if ascii_only:
        return "".join(c if c.isprintable() and c.isascii() else "?" for c in text)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def cells(text: str) -> int:
    """How many terminal cells ``text`` takes: wide East Asian characters two, combining ones none."""
    return sum(_cell(c) for c in text)


def _cell(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
