"""Numbers and settings as JSON can hold them, without losing a bit of a float32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def compact(array: npt.NDArray[np.float32]) -> Any:
    """Nested lists of the shortest decimal numbers that read back as the same float32 (0.1, not 0.10000000149)."""
    flat = np.ascontiguousarray(array, dtype=np.float32).ravel()
    short = np.array([float(str(value)) for value in flat], dtype=np.float64)
    exact = np.where(short.astype(np.float32) == flat, short, flat.astype(np.float64))
    return exact.reshape(np.shape(array)).tolist()


def plain(value: Any) -> Any:
    """``value`` as strict JSON can hold it, so that a setting never stops a result from being saved.

    Tuples, sets and arrays become lists, numpy scalars Python numbers, numbers that are not finite None, and
    anything else (a dtype, a path) its ``str``.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [plain(item) for item in value]
    return str(value)
