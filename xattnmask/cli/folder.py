"""The folder that a command writes in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """The folder to write in, made and tried now; folders made here are taken away if nothing came of it."""
    from ..results import check_writable

    made = [folder for folder in (path, *path.parents) if not os.path.exists(folder)]
    try:
        check_writable(path)
        yield path
    except BaseException:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise
