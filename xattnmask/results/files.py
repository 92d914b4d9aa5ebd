"""Files that are either whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import OutputError, XattnmaskError

Write = Callable[[Path], object]


def check_writable(folder: str | os.PathLike[str]) -> Path:
    """Make ``folder`` if need be and prove that a file can be written in it; call it before long work.

    Raises:
        OutputError: it cannot be made or written, or is a file.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial = _temporary(path)
        try:
            trial.touch()
        finally:
            trial.unlink(missing_ok=True)
    except FileExistsError as error:
        raise OutputError(f"{path} is a file: give the name of a folder") from error
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write in {path}: {_reason(error)}") from error
    return path


def write_files(folder: str | os.PathLike[str], writers: Mapping[str, Write]) -> None:
    """Write all of ``writers`` (name -> function that fills the path it is given) into ``folder``, or none.

    Every file is complete under a temporary name in the same folder before the first is renamed, in the
    order given. Ctrl-C while renaming finishes the renaming first.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    path = check_writable(folder)
    pending: list[tuple[Path, Path]] = []
    try:
        for name, write in writers.items():
            if (path / name).is_dir():
                raise OutputError(f"cannot write {path / name}: it is a folder")
            pending.append((_temporary(path), path / name))
            write(pending[-1][0])
        _rename(list(pending))
    except XattnmaskError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write in {path}: {_reason(error)}") from error
    finally:
        for temporary, _ in pending:
            temporary.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], write: Write) -> None:
    """Write one file whole or not at all; its folder is made if need be. Raises OutputError."""
    path = Path(path)
    write_files(path.parent, {path.name: write})


def _rename(pending: list[tuple[Path, Path]]) -> None:
    interrupt = None
    while pending:
        try:
            temporary, final = pending[0]
            if temporary.exists():
                os.replace(temporary, final)
            pending.pop(0)
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def _temporary(folder: Path) -> Path:
    return folder / f".xattnmask-{uuid.uuid4().hex}.tmp"


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
