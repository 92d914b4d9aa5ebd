"""Loading pipelines through ``from_pretrained``, with every failure told in one line."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers.utils import logging as transformers_logging

from xattnmask.errors import CheckpointError, SettingError

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
DEPRECATED = "deprecated"
_SPARE = ("feature_extractor",)
"""Parts of pipelines that are not used here."""


def load(pipeline_class: Any, checkpoint: str, *, device: str, dtype: str) -> Any:
    """The pipeline, in evaluation mode and without gradients.

    Raises:
        CheckpointError: missing, partial, corrupt, or of another pipeline.
        SettingError: no such device or dtype.
    """
    precision = getattr(torch, dtype, None)
    if not isinstance(precision, torch.dtype) or not precision.is_floating_point:
        raise SettingError(f"dtype must be a floating torch dtype such as float32 or bfloat16, not {dtype!r}")
    if device.split(":")[0] == "cpu" and precision == torch.float16:
        raise SettingError("float16 overflows on the CPU, and is slow there: use dtype float32 or bfloat16")
    _check_place(checkpoint)
    with quiet():
        try:
            _check_index(pipeline_class, checkpoint)
            pipeline = pipeline_class.from_pretrained(checkpoint, torch_dtype=precision, low_cpu_mem_usage=False)
        except CheckpointError:
            raise
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"{checkpoint}: cannot load it as {pipeline_class.__name__}: {reason}") from error
    try:
        pipeline.to(torch.device(device))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def modules(pipeline: Any) -> nn.ModuleDict:
    """The pipeline's networks as one module: what site paths start from."""
    parts = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    return nn.ModuleDict(parts).eval().requires_grad_(False)


def _check_place(checkpoint: str) -> None:
    path = Path(checkpoint)
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise CheckpointError(f"{checkpoint}: no model_index.json in this folder")
    elif path.exists() or not HUB_ID.fullmatch(checkpoint):
        raise CheckpointError(f"{checkpoint}: no such checkpoint folder")


def _check_index(pipeline_class: Any, checkpoint: str) -> None:
    """Look at model_index.json: diffusers would load the parts of another pipeline, or none, and fail much later."""
    held = pipeline_class.load_config(checkpoint)
    if held.get("_class_name") != pipeline_class.__name__:
        raise CheckpointError(f"{checkpoint}: holds a {held.get('_class_name')}, not a {pipeline_class.__name__}")
    classes = {name: value[1] for name, value in held.items() if isinstance(value, (list, tuple)) and len(value) == 2}
    missing = sorted(name for name, kind in classes.items() if kind is None and name not in _SPARE)
    if missing:
        raise CheckpointError(f"{checkpoint}: it was saved without {', '.join(missing)}: save the whole pipeline")
    if classes.get("language_model") == "GPT2Model":
        raise CheckpointError(
            f"{checkpoint}: its language model is a GPT2Model, with which current transformers cannot generate: write "
            "GPT2LMHeadModel in its place in model_index.json; the weights stay as they are"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without diffusers' notice that a pipeline is no longer developed: the model listing says so.

    Nor is there a bar for each part's weights within that for the parts, nor any where nobody watches.
    """
    logger = logging.getLogger("diffusers")
    logger.addFilter(_not_about_age)
    for handler in logger.handlers:
        handler.addFilter(_not_about_age)
    try:
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            # older diffusers do not know its new name
            warnings.filterwarnings("ignore", message=".*torch_dtype.*deprecated", category=FutureWarning)
            stack.enter_context(_without_bars(transformers_logging))
            if not sys.stderr.isatty():
                stack.enter_context(_without_bars(diffusers_logging))
            yield
    finally:
        logger.removeFilter(_not_about_age)
        for handler in logger.handlers:
            handler.removeFilter(_not_about_age)


@contextmanager
def _without_bars(library: Any) -> Iterator[None]:
    """Without the progress bars of a library's ``utils.logging``."""
    before = library.is_progress_bar_enabled()
    library.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            library.enable_progress_bar()


def _not_about_age(record: logging.LogRecord) -> bool:
    return DEPRECATED not in record.getMessage()
