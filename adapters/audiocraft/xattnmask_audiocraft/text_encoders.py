"""The T5 that a checkpoint names: one of those audiocraft knows, or a folder, which audiocraft has to be told of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xattnmask.errors import CheckpointError

from .conditions import DESCRIPTION
from .library import DictConfig, T5Conditioner

_NO_LIMIT, _T5_TOKENS = 10**6, 512


@contextmanager
def text_encoder(config: DictConfig, checkpoint: str) -> Iterator[None]:
    """While open, audiocraft can build the text encoder of ``config``; a folder in it may lie inside the checkpoint's.

    ``T5Conditioner`` takes the names in its ``MODELS`` alone, of which it knows the widths; a folder is added to both
    and taken off again. Raises CheckpointError for a name that is neither.
    """
    section = config.conditioners[DESCRIPTION].t5
    if section.name in T5Conditioner.MODELS:
        yield
        return
    folder = _folder(str(section.name), checkpoint)
    section.name = str(folder)
    known, widths = list(T5Conditioner.MODELS), dict(T5Conditioner.MODELS_DIMS)
    T5Conditioner.MODELS, T5Conditioner.MODELS_DIMS = [*known, str(folder)], {**widths, str(folder): _width(folder)}
    try:
        yield
    finally:
        T5Conditioner.MODELS, T5Conditioner.MODELS_DIMS = known, widths


def token_limit(conditioner: Any) -> int:
    """How many tokens the text encoder takes: what its tokenizer says, else the encoder, else T5's 512."""
    limit = conditioner.t5_tokenizer.model_max_length
    return int(limit if limit < _NO_LIMIT else getattr(conditioner.t5.config, "n_positions", None) or _T5_TOKENS)


def _folder(name: str, checkpoint: str) -> Path:
    for folder in (Path(checkpoint, name), Path(name)):
        if (folder / "config.json").is_file():
            return folder.resolve()
    raise CheckpointError(f"{checkpoint}: its text encoder {name!r} is no T5 that audiocraft knows, and no folder")


def _width(folder: Path) -> int:
    return int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["d_model"])
