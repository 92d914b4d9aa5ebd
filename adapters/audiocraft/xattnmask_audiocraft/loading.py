"""Loading an audiocraft checkpoint: ``state_dict.bin`` and ``compression_state_dict.bin``, of a folder or from the hub.

What is in the files is built by audiocraft's own builders. Whatever goes wrong is told in one line.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from xattnmask.errors import CheckpointError, SettingError

from .checks import check_config, check_model, check_tokenizer
from .conditions import DESCRIPTION
from .library import DictConfig, OmegaConf, builders, loaders
from .quiet import quiet
from .text_encoders import text_encoder

TRUST = "XATTNMASK_TRUST"
"""Environment variable: checkpoints, separated by commas, that may be unpickled in full, which can run their code."""
MODEL, CODEC = "state_dict.bin", "compression_state_dict.bin"
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_TORCH_TRUSTS = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_CONVERT = "is it MusicGen of transformers? Load it as model 'musicgen', or python -m xattnmask_audiocraft.convert"
_LONGEST = 240
"""Characters that are told of a library's own reason; torch lists every missing weight."""
T = TypeVar("T")


def load(checkpoint: str, *, device: str, dtype: str) -> tuple[Any, Any]:
    """The language model and its codec, in evaluation mode and without gradients.

    The language model gets ``dtype``. Its T5 stays in float32 at least, as in audiocraft; the codec, whose codes other
    dtypes change, in float32.

    Raises:
        CheckpointError: missing, partial, corrupt, not trusted, or a model that this adapter cannot drive.
        SettingError: no such device or dtype.
    """
    precision = _dtype(dtype)
    _check_place(checkpoint)
    with _trusted(checkpoint), quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # audiocraft's weight_norm is deprecated in torch
        model = _language_model(checkpoint)
        codec = _attempt(checkpoint, CODEC, lambda: loaders.load_compression_model(checkpoint, device="cpu"))
        codec = builders.get_wrapped_compression_model(codec, model.cfg)
    check_model(model, codec, checkpoint)
    _cast(model, precision)
    return _to_device(model, device), _to_device(codec, device)


def _language_model(checkpoint: str) -> Any:
    package = _attempt(checkpoint, MODEL, lambda: loaders.load_lm_model_ckpt(checkpoint))
    if not isinstance(package, dict) or not {"xp.cfg", "best_state"} <= package.keys():
        raise CheckpointError(f"{checkpoint}: {MODEL} was not exported by audiocraft (no xp.cfg and best_state in it)")
    config: Any = _attempt(checkpoint, "its xp.cfg", lambda: OmegaConf.create(package["xp.cfg"]))
    check_config(config, checkpoint)
    text = config.conditioners[DESCRIPTION].t5.name
    what = f"the model that its xp.cfg describes, whose text encoder is {text!r}"
    model = _attempt(checkpoint, what, lambda: _build(config, checkpoint))
    _attempt(checkpoint, "its weights", lambda: model.load_state_dict(package["best_state"]))
    check_tokenizer(model.condition_provider.conditioners[DESCRIPTION], checkpoint)
    model.cfg = config
    return model.eval()


def _build(config: DictConfig, checkpoint: str) -> Any:
    OmegaConf.set_struct(config, False)
    config.device, config.dtype = "cpu", "float32"
    with text_encoder(config, checkpoint):
        return builders.get_lm_model(config)


def _check_place(checkpoint: str) -> None:
    folder = Path(checkpoint)
    if not folder.is_dir():
        if folder.exists() or not _HUB_ID.fullmatch(checkpoint):
            raise CheckpointError(f"{checkpoint}: no such checkpoint folder")
        return
    for name in (MODEL, CODEC):
        if not (folder / name).is_file():
            hint = f", but a config.json: {_CONVERT} {checkpoint} OUT" if (folder / "config.json").is_file() else ""
            raise CheckpointError(f"{checkpoint}: no {name} in this folder{hint}")


@contextmanager
def _trusted(checkpoint: str) -> Iterator[None]:
    """Let torch unpickle the files in full while open, if the user has named this checkpoint in :data:`TRUST`."""
    named = [name.strip() for name in os.environ.get(TRUST, "").split(",")]
    before = os.environ.get(_TORCH_TRUSTS)
    if checkpoint not in named and str(Path(checkpoint).resolve()) not in named:
        yield
        return
    os.environ[_TORCH_TRUSTS] = "1"
    try:
        yield
    finally:
        os.environ.pop(_TORCH_TRUSTS)
        if before is not None:
            os.environ[_TORCH_TRUSTS] = before


def _attempt(checkpoint: str, what: str, function: Callable[[], T]) -> T:
    """Call a library's loader; whatever it raises becomes a CheckpointError of one line."""
    try:
        return function()
    except CheckpointError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "Weights only load failed" in reason and "GLOBAL" in reason:
            raise CheckpointError(
                f"{checkpoint}: {what} holds pickled objects, which could run any code, so torch refuses it; if you "
                f"trust where it comes from, set {TRUST}={checkpoint} in the environment and load it again"
            ) from error
        where = "" if Path(checkpoint).is_dir() else " from the hub by this id (offline or unknown?)"
        reason = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}..."
        raise CheckpointError(f"{checkpoint}: cannot read {what}{where}: {reason}") from error


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise SettingError(f"dtype must be a floating torch dtype such as float32 or bfloat16, not {name!r}")
    return dtype


def _cast(model: Any, dtype: torch.dtype) -> None:
    model.to(dtype)
    model.condition_provider.conditioners[DESCRIPTION].t5.to(torch.promote_types(dtype, torch.float32))


def _to_device(module: Any, device: str) -> Any:
    """Without gradients on ``device``, with the T5 that audiocraft hides from torch, and where it notes the device."""
    try:
        module.requires_grad_(False).to(torch.device(device))
        for part in module.modules():
            if (hidden := part.__dict__.get("t5")) is not None:
                hidden.requires_grad_(False).to(torch.device(device))
            if isinstance(part.__dict__.get("device"), str):
                part.device = device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return module
