"""Codes of rendered clips, made by several processes and kept."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import EncodecConfig, EncodecModel

from ..world import render
from . import codec as codec_stage
from .corpus import captions

_CHUNK = 100
_worker_codec: EncodecModel
"""The codec of a worker process."""


def encoded(cache: Path, codec: EncodecModel, split: int, count: int, workers: int = 2) -> Tensor:
    """Codes int16 [count, codebooks, frames] of the first ``count`` clips of a split, kept in ``cache``."""
    if cache.exists() and len(kept := torch.load(cache, weights_only=True)) >= count:
        return kept[:count]
    weights = {name: value.numpy() for name, value in codec.state_dict().items()}
    starts = range(0, count, _CHUNK)
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (codec.config.to_dict(), weights)) as pool:
        parts = list(pool.map(_encode_chunk, repeat(split), starts, (min(_CHUNK, count - start) for start in starts)))
    codes = torch.from_numpy(np.concatenate(parts))
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save(codes, cache)
    return codes


def _start_worker(config: dict[str, Any], weights: dict[str, np.ndarray]) -> None:
    global _worker_codec
    torch.set_num_threads(1)
    _worker_codec = EncodecModel(EncodecConfig(**config)).eval()
    _worker_codec.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})


def _encode_chunk(split: int, start: int, count: int) -> np.ndarray:
    audio = [render(caption, seed) for caption, seed in captions(split, count, start=start)]
    codes = [codec_stage.encode(_worker_codec, clip[None]) for clip in audio]  # one at a time stays in the cache
    print(f"encoded to {start + count}", flush=True)
    return torch.cat(codes).numpy().astype(np.int16)
