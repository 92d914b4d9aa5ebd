"""What an explanation must satisfy; each function returns the value in its stored form or raises SettingError."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SettingError
from ..text import Token
from .numbers import plain

AUDIO_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
MAX_RATE = 1_000_000
MAX_CHANNELS = 256


def text(name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise SettingError(f"{name} must be a string, not {type(value).__name__}")
    return value


def whole(name: str, value: Any) -> int:
    """An integer (numpy's too), no bool."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise SettingError(f"{name} must be an integer, not {type(value).__name__}")
    return int(value)


def rate(value: Any) -> int:
    """A sample rate, or 0 for none."""
    found = whole("sample_rate", value)
    if not 0 <= found <= MAX_RATE:
        raise SettingError(f"sample_rate must be between 0 and {MAX_RATE}")
    return found


def tokens(value: Any, prompt: str) -> tuple[Token, ...]:
    """At least one token, each with its span inside the prompt."""
    found = tuple(value)
    if not found:
        raise SettingError("an explanation needs at least one token")
    for index, token in enumerate(found):
        if not isinstance(token, Token):
            raise SettingError(f"tokens[{index}] must be a Token, not {type(token).__name__}")
        if not 0 <= token.start <= token.end <= len(prompt):
            raise SettingError(f"tokens[{index}] spans {token.start} to {token.end}, "
                               f"outside the prompt's {len(prompt)} characters")
    return found


def edges(name: str, value: Any) -> npt.NDArray[np.float64]:
    """float64 [N + 1], N >= 1, strictly increasing."""
    array = _array(name, value, np.float64, ndim=1)
    if array.size < 2 or not (np.diff(array) > 0).all():
        raise SettingError(f"{name} must hold at least two values, each above the one before")
    return array


def vector(name: str, value: Any) -> npt.NDArray[np.float64]:
    """float64 [N]."""
    return _array(name, value, np.float64, ndim=1)


def matrix(name: str, value: Any, rows: int, columns: int, each: str) -> npt.NDArray[np.float32]:
    """float32 [rows, columns], finite; ``each`` names a row in the error."""
    array = _array(name, value, np.float32, ndim=2)
    if array.shape != (rows, columns):
        raise SettingError(f"{name} has shape {list(array.shape)}, but there are {rows} {each} and {columns} tokens: "
                           f"[{rows}, {columns}] is needed")
    return array


def cube(name: str, value: Any, steps: int, frames: int, columns: int) -> npt.NDArray[np.float32]:
    """float32 [steps, frames, columns], finite."""
    array = _array(name, value, np.float32, ndim=3)
    if array.shape != (steps, frames, columns):
        raise SettingError(f"{name} has shape {list(array.shape)}, but there are {steps} steps, {frames} frames and "
                           f"{columns} tokens: [{steps}, {frames}, {columns}] is needed")
    return array


def volume(name: str, value: Any, rest: tuple[int, int]) -> npt.NDArray[np.float32]:
    """float32 [any but 0, *rest], finite."""
    array = _array(name, value, np.float32, ndim=3)
    if array.shape[1:] != rest or not len(array):
        raise SettingError(f"{name} has shape {list(array.shape)}, but [tokens, {rest[0]}, {rest[1]}] is needed")
    return array


def weights(value: Any, steps: int) -> dict[str, list[float]]:
    """By name, one finite number, 0 or above, a step."""
    found = plain(_mapping("step_weights", value))
    for name, numbers in found.items():
        if not isinstance(numbers, list) or not all(_is_number(v) and v >= 0 for v in numbers) or len(numbers) != steps:
            raise SettingError(f"step_weights[{name!r}] must be {steps} numbers, one a step, each 0 or above")
    return {name: [float(v) for v in numbers] for name, numbers in found.items()}


def curves(value: Any) -> dict[str, list[float | None]]:
    """Loss curves by name; a value that is not finite is stored as None."""
    found = plain(_mapping("losses", value))
    for name, curve in found.items():
        if not isinstance(curve, list) or not all(v is None or _is_number(v) for v in curve):
            raise SettingError(f"losses[{name!r}] must be a list of numbers")
    return {name: [None if v is None else float(v) for v in curve] for name, curve in found.items()}


def settings(name: str, value: Any) -> dict[str, Any]:
    """A mapping, made JSON-able (see :func:`xattnmask.results.numbers.plain`)."""
    return plain(_mapping(name, value))  # type: ignore[no-any-return]


def sentences(value: Any) -> tuple[str, ...]:
    """A tuple of strings."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise SettingError("diagnostics must be a sequence of sentences")
    return tuple(text("a diagnostic", sentence) for sentence in value)


def verdict(value: Any) -> bool | None:
    """True, False or None."""
    if value is not None and not isinstance(value, (bool, np.bool_)):
        raise SettingError("converged must be True, False or None")
    return None if value is None else bool(value)


def sounds(value: Any, sample_rate: int) -> dict[str, npt.NDArray[np.float32]]:
    """Audio by name: float32 [samples] or [channels, samples], finite, not copied where it is float32 already."""
    found = {}
    for name, samples in _mapping("audio", value).items():
        if not isinstance(name, str) or not AUDIO_NAME.fullmatch(name):
            raise SettingError(f"audio name {name!r} must be lower-case letters, digits, - and _")
        array = np.asarray(samples)
        channels = array.shape[0] if array.ndim == 2 else 1
        if array.ndim not in (1, 2) or array.dtype.kind not in "iuf" or not 0 < channels <= MAX_CHANNELS:
            raise SettingError(f"audio {name!r} must be numbers of shape [samples] or [channels, samples]")
        found[name] = _read_only(_finite(f"audio {name!r}", array.astype(np.float32, copy=False)))
    if found and sample_rate <= 0:
        raise SettingError("audio needs a sample_rate above 0")
    return found


def _array(name: str, value: Any, dtype: Any, ndim: int) -> npt.NDArray[Any]:
    try:
        array = np.array(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingError(f"{name} is not a regular array of numbers") from error
    if array.dtype.kind not in "iuf" or array.ndim != ndim:
        raise SettingError(f"{name} must be an array of numbers with {ndim} dimension{'s' * (ndim > 1)}")
    with np.errstate(over="ignore"):
        return _read_only(_finite(name, array.astype(dtype)))


def _finite(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if not np.isfinite(array).all():
        raise SettingError(f"{name} holds NaN or infinity")
    return array


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view: npt.NDArray[Any] = array.view()
    view.flags.writeable = False
    return view


def _mapping(name: str, value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise SettingError(f"{name} must be a mapping, not {type(value).__name__}")
    return value


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
