"""Loading through ``from_pretrained``, with every failure told in one line."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging import Filter, LogRecord
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging

from xattnmask.errors import CheckpointError, SettingError

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
NO_LIMIT = 10**6
DEFAULT_TOKENS = 512


def load(model_class: type, checkpoint: str, *, device: str, dtype: str) -> tuple[Any, Any]:
    """The model (evaluation mode, no gradients, codec in float32) and its fast tokenizer.

    Raises:
        CheckpointError: missing, partial, corrupt, or of another class.
        SettingError: no such device or dtype.
    """
    precision = _dtype(dtype)
    with quiet():
        checked_config(model_class, checkpoint)
        tokenizer = _attempt(checkpoint, "its tokenizer", transformers.AutoTokenizer.from_pretrained, checkpoint)
        model = whole_model(model_class, checkpoint)
    _check_tokenizer(tokenizer, model, checkpoint)
    for name, child in model.named_children():
        if name != "audio_encoder":
            _cast(child, precision)
    if model.decoder.config._attn_implementation is None:  # would be silently non-causal
        model.decoder.set_attn_implementation("sdpa")
    return to_device(model.eval().requires_grad_(False), device), tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Without the library's bars where nobody watches, and without its complaint that MusicGen's start token is
    no code (which is how MusicGen is made)."""
    configurations, bars = logging.get_logger("transformers.configuration_utils"), logging.is_progress_bar_enabled()
    silence = _NotAboutTheStartToken()
    configurations.addFilter(silence)
    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        configurations.removeFilter(silence)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


class _NotAboutTheStartToken(Filter):
    def filter(self, record: LogRecord) -> bool:
        return "an integer within the vocabulary" not in record.getMessage()


def token_limit(tokenizer: Any, config: Any) -> int:
    """How many tokens the text encoder takes: what the tokenizer says, else the encoder, else T5's 512."""
    if tokenizer.model_max_length < NO_LIMIT:
        return int(tokenizer.model_max_length)
    return int(getattr(config, "n_positions", None) or DEFAULT_TOKENS)


def checked_config(model_class: Any, checkpoint: str) -> None:
    """Raise CheckpointError unless ``checkpoint`` is a folder or hub id that holds a model of ``model_class``."""
    path = Path(checkpoint)
    if not path.is_dir() and (path.exists() or not HUB_ID.fullmatch(checkpoint)):
        raise CheckpointError(f"{checkpoint}: no such checkpoint folder")
    if path.is_dir() and not (path / "config.json").is_file():  # transformers may guess one from the folder's name
        raise CheckpointError(f"{checkpoint}: no config.json in this folder")
    what = "its config.json" if path.is_dir() else "it as a folder, nor from the hub by this id (offline or unknown?)"
    config = _attempt(checkpoint, what, transformers.AutoConfig.from_pretrained, checkpoint)
    wanted = model_class.config_class.model_type
    if config.model_type != wanted:
        raise CheckpointError(f"{checkpoint}: holds a model of type {config.model_type!r}, not {wanted!r}")


def _check_tokenizer(tokenizer: Any, model: Any, checkpoint: str) -> None:
    """transformers 5 makes an empty tokenizer, without a word, where a checkpoint has no tokenizer files."""
    if not tokenizer.is_fast:
        raise CheckpointError(f"{checkpoint}: its tokenizer gives no character offsets (no fast tokenizer)")
    if not any(piece.strip("▁").isalpha() for piece in tokenizer.get_vocab()):
        raise CheckpointError(f"{checkpoint}: its tokenizer is missing or knows no words")
    known = model.text_encoder.config.vocab_size
    if len(tokenizer) > known:
        raise CheckpointError(f"{checkpoint}: its tokenizer has {len(tokenizer)} tokens, its text encoder {known}")


def whole_model(model_class: Any, checkpoint: str) -> Any:
    """The model with all its weights, in float32; raises CheckpointError where one is missing or of another shape."""
    model, info = _attempt(
        checkpoint, "its weights", model_class.from_pretrained, checkpoint,
        dtype=torch.float32, output_loading_info=True,
    )
    for kind in ("missing_keys", "mismatched_keys"):
        if keys := sorted(map(str, info[kind])):
            raise CheckpointError(f"{checkpoint}: {len(keys)} {kind.replace('_', ' ')} in its weights, e.g. {keys[0]}")
    return model


def _cast(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Cast in place; in float16 what overflows there stays in float32, as ``from_pretrained`` would keep it."""
    module.to(dtype)
    keep = getattr(module, "_keep_in_fp32_modules", None) or () if dtype == torch.float16 else ()
    for name, part in module.named_modules():
        if name.rpartition(".")[2] in keep:
            part.float()


def _attempt(checkpoint: str, what: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a library's loader; whatever it raises becomes a CheckpointError of one line."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{checkpoint}: cannot read {what}: {reason}") from error


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise SettingError(f"dtype must be a floating torch dtype such as float32 or bfloat16, not {name!r}")
    return dtype


def to_device(model: Any, device: str) -> Any:
    """``model`` on ``device``; raises SettingError where that cannot be used."""
    try:
        return model.to(torch.device(device))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
