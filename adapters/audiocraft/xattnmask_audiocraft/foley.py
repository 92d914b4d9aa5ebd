"""The named checkpoint ``foley-audiogen``: the weights of ``foley-musicgen`` in audiocraft's form.

It is derived, so it is bundled with nobody: it is made when it is first used, and kept in a cache folder under a name
that changes with the weights.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from xattnmask import Checkpoint, hookimpl
from xattnmask.errors import CheckpointError, OutputError, UnknownKeyError
from xattnmask.loading import resolve

SOURCE = "foley-musicgen"
NAME = "foley-audiogen"
CACHE = "XATTNMASK_CACHE"
"""Environment variable: the folder that converted checkpoints are kept in; ``~/.cache/xattnmask`` otherwise."""
_FORM = b"1"
"""Changes when the converter writes something else for the same weights."""


@hookimpl
def xattnmask_checkpoint() -> Checkpoint:
    """Where it lies, made if need be, and that key ``audiogen`` loads it."""
    return Checkpoint("audiogen", built(), "4 s of twelve sounds at 16 kHz, AudioGen, converted from foley-musicgen")


def built() -> Path:
    """The converted checkpoint's folder; the first call takes some seconds.

    Raises CheckpointError where ``foley-musicgen`` is not installed, OutputError where the cache cannot be written.
    """
    try:
        source = Path(resolve(None, SOURCE).location)
    except UnknownKeyError as error:
        raise CheckpointError(f"{NAME} is made of {SOURCE}, which is not here: pip install xattnmask-foley") from error
    folder = cache_folder() / f"{NAME}-{_fingerprint(source)}"
    if not folder.is_dir():
        from .convert import convert

        try:
            convert(SOURCE, folder)
        except OutputError:
            if not folder.is_dir():  # or another process has just made it
                raise
    return folder


def cache_folder() -> Path:
    """The folder that converted checkpoints are kept in."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE) or Path(base) / "xattnmask")


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256(_FORM)
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
