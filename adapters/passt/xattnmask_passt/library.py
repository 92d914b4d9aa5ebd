"""hear21passt, imported without timm.

It takes one function of timm, for downloading, and timm needs torchvision, whose plain Linux builds cannot be imported
beside a torch without CUDA, nor can then transformers. So that function stands here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from urllib.parse import urlparse

import torch

_TIMM = ("timm", "timm.models", "timm.models._hub")


def download_cached_file(url: str, check_hash: bool = False, progress: bool = False) -> str:
    """The file at ``url``, downloaded into torch's hub folder if it is not there yet: as timm's of this name."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / Path(urlparse(url).path).name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), None, progress=progress)
    return str(file)


@contextmanager
def _in_place_of_timm() -> Iterator[None]:
    """While open, what hear21passt imports of timm is :func:`download_cached_file`."""
    before = {name: sys.modules.get(name) for name in _TIMM}
    modules = {name: ModuleType(name) for name in _TIMM}
    modules[_TIMM[-1]].download_cached_file = download_cached_file  # type: ignore[attr-defined]
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


with _in_place_of_timm():
    from hear21passt.base import get_basic_model
    from hear21passt.models.passt import PaSST as Network
    from hear21passt.models.passt import default_cfgs
    from hear21passt.models.preprocess import AugmentMelSTFT
    from hear21passt.wrapper import PasstBasicWrapper

__all__ = ["AugmentMelSTFT", "Network", "PasstBasicWrapper", "default_cfgs", "download_cached_file", "get_basic_model"]
