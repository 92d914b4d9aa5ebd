"""A MusicGen of transformers made into a checkpoint of audiocraft: the same weights, in the other library's names.

``python -m xattnmask_audiocraft.convert foley-musicgen OUT``. Needs no audiocraft.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from xattnmask.errors import OutputError
from xattnmask.loading import load

from ..quiet import quiet
from .codec import codec_config, codec_weights
from .language import language_config, language_weights

MODEL_KEY = "musicgen"
"""The model key of what can be converted."""
TEXT_ENCODER = "t5"
"""The folder of the text encoder inside a converted checkpoint."""


def convert(source: str, out: str | Path) -> Path:
    """Write ``source`` as an audiocraft checkpoint into the new or empty folder ``out``, all of it or nothing.

    Args:
        source: a named checkpoint, a folder or a hub id of MusicGen of transformers.
        out: holds ``state_dict.bin``, ``compression_state_dict.bin`` and the folder ``t5`` afterwards; it can be moved.

    Raises:
        CheckpointError: the source cannot be loaded, or has parts that audiocraft has no counterpart for.
        OutputError: ``out`` is not empty or cannot be written.
        MissingLibraryError, UnknownKeyError: as :func:`xattnmask.load`.
    """
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"{target}: not an empty folder; name another or empty it")
    model, tokenizer = _load(source)
    files = {
        "state_dict.bin": _package(language_config(model, TEXT_ENCODER), language_weights(model)),
        "compression_state_dict.bin": _package(codec_config(model), codec_weights(model)),
    }
    try:
        _write(target, files, model, tokenizer)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error}") from error
    return target


def _load(source: str) -> tuple[Any, Any]:
    """The model in float32, and its tokenizer, by the transformers adapter: the one place here that knows it."""
    adapter: Any = load(MODEL_KEY, source)
    return adapter.backbone, adapter.tokenizer


def _package(config: dict[str, Any], weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    """A checkpoint file as audiocraft exports it; JSON is YAML, so the configuration may be that."""
    return {"xp.cfg": json.dumps(config), "best_state": {name: value.contiguous() for name, value in weights.items()}}


def _write(target: Path, files: dict[str, Any], model: Any, tokenizer: Any) -> None:
    """Under another name first, so that a folder of this name is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for name, content in files.items():
            torch.save(content, staging / name)
        with quiet():
            model.text_encoder.save_pretrained(staging / TEXT_ENCODER)
        tokenizer.save_pretrained(staging / TEXT_ENCODER)
        staging.chmod(0o755)
        if target.exists():
            target.rmdir()
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
