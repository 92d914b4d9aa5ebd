"""transformers' progress bars, shown only where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import utils

_logging: Any = utils.logging  # untyped


@contextmanager
def quiet() -> Iterator[None]:
    """Without bars while open, unless stderr is a terminal."""
    shown = _logging.is_progress_bar_enabled() and not sys.stderr.isatty()
    if shown:
        _logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            _logging.enable_progress_bar()
