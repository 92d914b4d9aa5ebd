"""Loading a backbone by the names people type: a model key, a named checkpoint, a folder or a hub id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CheckpointError, SettingError, UnknownKeyError, XattnmaskError
from .plugins import registry
from .plugins.discovery import ADAPTERS, CHECKPOINTS, find, nearest, nothing_installed, unknown_key
from .plugins.loader import blaming, one_line

if TYPE_CHECKING:
    import torch

    from .adapter import Adapter

DEFAULT_CHECKPOINT = "foley-musicgen"
"""The named checkpoint that is loaded when nothing is named."""
DTYPES = ("float32", "float16", "bfloat16", "float64")
"""Names of the dtypes a backbone can be loaded in."""
_DEVICES = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True)
class Source:
    """What is to be loaded: by which model key, from where, and what the user calls it."""

    model: str
    location: str
    name: str


def load(
    model: str | None = None,
    checkpoint: str | None = None,
    *,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
) -> Adapter:
    """Load a model, ready to generate and to be explained.

    ``load("foley-musicgen")`` loads a named checkpoint, ``load("musicgen", "some/folder")`` a folder, and
    ``load("musicgen", "facebook/musicgen-small")`` a hub id. With neither, the named checkpoint
    ``foley-musicgen`` is loaded if it is installed. A named checkpoint comes before a folder of the same
    name; write ``./name`` for the folder.

    Args:
        model: key of an installed adapter (``xattnmask models`` lists them), or a named checkpoint.
        checkpoint: named checkpoint, folder or hub id.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``xpu``.
        dtype: ``float32``, ``float16``, ``bfloat16`` or ``float64``.

    Raises:
        SettingError: the names do not fit together, or the device or dtype is unknown or unavailable.
        UnknownKeyError: no plugin offers the model; the message offers the nearest names.
        MissingLibraryError: the model's library is not installed; the message holds the pip line.
        PluginError: the adapter is broken, or two distributions claim its key.
        CheckpointError: the checkpoint is missing, partial or corrupt.
    """
    source = resolve(model, checkpoint)
    dtype_name = _check_dtype(str(dtype).removeprefix("torch."))
    device_name = _check_device(str(device))
    adapter = _from_checkpoint(registry.adapter(source.model), source, device_name, dtype_name)
    adapter.checkpoint = source.name
    return adapter


def resolve(model: str | None = None, checkpoint: str | None = None) -> Source:
    """What :func:`load` would load, found without importing any model's library; errors as there."""
    source = _resolve(model, checkpoint)
    find(ADAPTERS, source.model)
    return source


def _resolve(model: str | None, checkpoint: str | None) -> Source:
    models, named = registry.keys(ADAPTERS), registry.keys(CHECKPOINTS)
    if checkpoint is None:
        if model is None:
            return _default(models, named)
        if model in models:
            raise SettingError(f"model {model!r} needs a checkpoint: {_checkpoint_advice(named)}")
        if model not in named:
            raise unknown_key(ADAPTERS, model, models + named) if models else unknown_key(ADAPTERS, model, [])
        return _named(model, None)
    if checkpoint in named:
        return _named(checkpoint, model)
    if model is None:
        raise _no_model(checkpoint, models, named)
    if model not in models:
        raise unknown_key(ADAPTERS, model, models)
    return Source(model, _locate(checkpoint), checkpoint)


def _default(models: list[str], named: list[str]) -> Source:
    if DEFAULT_CHECKPOINT in named:
        return _named(DEFAULT_CHECKPOINT, None)
    known = f"installed models: {', '.join(models)}" if models else nothing_installed(ADAPTERS)
    raise SettingError(f"name a model and a checkpoint: the default, {DEFAULT_CHECKPOINT}, is not installed ({known})")


def _named(name: str, model: str | None) -> Source:
    found = registry.checkpoint(name)
    if model is not None and model != found.model:
        raise SettingError(f"checkpoint {name!r} is of model {found.model!r}, not {model!r}: leave the model out")
    if not Path(found.path).is_dir():
        raise CheckpointError(f"checkpoint {name!r} should be in {found.path}, which does not exist: reinstall it")
    return Source(found.model, str(found.path), name)


def _no_model(checkpoint: str, models: list[str], named: list[str]) -> XattnmaskError:
    if not models:
        return unknown_key(ADAPTERS, checkpoint, [])
    if Path(checkpoint).expanduser().exists() or "/" in checkpoint:
        return SettingError(f"name the model that loads {checkpoint!r}: one of {', '.join(models)}")
    advice = nearest(checkpoint, named) if named else "none is installed"
    return UnknownKeyError(f"no checkpoint named {checkpoint!r}: {advice} (for a folder or hub id, name the model too)")


def _locate(checkpoint: str) -> str:
    """A folder with ``~`` resolved, or the hub id as it is; what can only be a path must be a folder."""
    path = Path(checkpoint).expanduser()
    if checkpoint and path.is_dir():
        return str(path)
    if checkpoint and path.exists():
        raise CheckpointError(f"checkpoint {checkpoint!r} is a file: give the folder it is in")
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", checkpoint):
        raise CheckpointError(f"checkpoint {checkpoint!r} is neither a folder that exists nor a hub id")
    return checkpoint


def _from_checkpoint(adapter_class: type[Adapter], source: Source, device: str, dtype: str) -> Adapter:
    try:
        return adapter_class.from_checkpoint(source.location, device=device, dtype=dtype)
    except XattnmaskError:
        raise
    except ImportError as error:
        with blaming(ADAPTERS, source.model):
            raise error
    except OSError as error:
        message = f"checkpoint {source.name!r} could not be loaded as {source.model}: {one_line(error)}"
        raise CheckpointError(message) from error
    raise AssertionError("unreachable")


def _checkpoint_advice(named: list[str]) -> str:
    return f"a folder, a hub id or one of {', '.join(named)}" if named else "a folder or a hub id"


def _check_dtype(dtype: str) -> str:
    if dtype not in DTYPES:
        raise SettingError(f"no dtype {dtype!r}: {nearest(dtype, DTYPES)}")
    return dtype


def _check_device(device: str) -> str:
    match = re.fullmatch(r"([a-z]+)(?::(\d+))?", device)
    if match is None or match[1] not in _DEVICES:
        raise SettingError(f"no device {device!r}: {nearest(device.partition(':')[0], _DEVICES)}")
    kind, index = match[1], int(match[2] or 0)
    count = _devices(kind)
    if index >= count:
        found = f"torch sees {count} of them" if count else f"torch sees no {kind} device here"
        raise SettingError(f"device {device!r} is not available: {found}; the cpu always works")
    return device


def _devices(kind: str) -> int:
    """How many devices of a kind torch can use here."""
    import torch

    if kind == "mps":
        return int(torch.backends.mps.is_available())
    if kind in {"cuda", "xpu"}:
        return int(getattr(torch, kind).device_count()) if getattr(torch, kind).is_available() else 0
    return 1
