"""Word tables in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results.bars import format_rows
from ..results.table import WordTable

if TYPE_CHECKING:
    from rich.console import Console

MAX_WIDTH = 80


def format_words(table: WordTable, width: int = MAX_WIDTH, ascii_only: bool = False) -> str:
    """``table`` as plain text, a line a word with its number and a bar, at most ``width`` cells wide.

    Long words are cut with an ellipsis; control characters are replaced. ``ascii_only`` keeps to ASCII.
    """
    return format_rows([(row.text, row.importance) for row in table], width, ascii_only)


def print_words(table: WordTable, console: Console | None = None) -> None:
    """Print ``table`` with coloured bars; plain when piped, ASCII where the encoding has no bars.

    The console's width is used up to 80 cells; ``console`` is rich's, by default one on standard output.
    """
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    ascii_only = not _can_encode("█▏…", console.encoding) or not _can_encode(
        "".join(row.text for row in table), console.encoding)
    text = Text(format_words(table, min(console.width, MAX_WIDTH), ascii_only))
    text.highlight_regex(r"(?m)[█▏▎▍▌▋▊▉]+$|(?<=  )#+$", "cyan")
    text.no_wrap = True
    console.print(text, soft_wrap=True)


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True
