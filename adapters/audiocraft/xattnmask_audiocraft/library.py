"""All that is used of audiocraft, imported in one place: what keeps it from being imported is told with its remedy."""

from __future__ import annotations

import logging
from importlib import metadata

from xattnmask.errors import MissingLibraryError

from .install import AUDIOCRAFT, COMMAND, cuda_libraries

__all__ = [
    "ConditioningAttributes",
    "DictConfig",
    "OmegaConf",
    "T5Conditioner",
    "builders",
    "loaders",
]


def advice(error: BaseException) -> str:
    """Why audiocraft cannot be imported, and what to type, in one line."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if not _installed():
        return f"audiocraft is not installed, and its own pins let nobody install it: {COMMAND}"
    if cuda_libraries():
        return f"torchaudio needs CUDA here and torch has none ({reason}): {COMMAND}"
    return f"the installed audiocraft cannot be imported ({reason}); this adapter knows {AUDIOCRAFT}: {COMMAND}"


def _installed() -> bool:
    try:
        return bool(metadata.version("audiocraft"))
    except metadata.PackageNotFoundError:
        return False


_xformers = logging.getLogger("xformers")
_level = _xformers.level
_xformers.setLevel(logging.ERROR)  # it warns that its kernels are for another torch; audiocraft uses none of them
try:
    from audiocraft.models import builders, loaders
    from audiocraft.modules.conditioners import ConditioningAttributes, T5Conditioner
    from omegaconf import DictConfig, OmegaConf
except (ImportError, OSError, RuntimeError, AttributeError) as error:
    raise MissingLibraryError(advice(error)) from error
finally:
    _xformers.setLevel(_level)
