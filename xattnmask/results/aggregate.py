"""From tokens to words, and from frames to one number a word. Plain array functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import SettingError
from ..text import Word

Aggregate = Literal["mean", "max", "attention"]
Subwords = Literal["max", "mean"]


def merge_subwords(matrix: npt.NDArray[np.float32], words: Sequence[Word],
                   subwords: Subwords = "max") -> npt.NDArray[np.float32]:
    """Merge the token columns of ``matrix`` [N, L] into word columns [N, W], by the maximum or the mean.

    A word that the tokenizer made no token of never reached the model; its column is 0.

    Raises:
        SettingError: ``subwords`` is neither "max" nor "mean".
    """
    _check_choice("subwords", subwords, get_args(Subwords))
    merge = np.max if subwords == "max" else np.mean
    return _columns(matrix, words, merge)


def attention_mass(attention: npt.NDArray[np.float32], words: Sequence[Word]) -> npt.NDArray[np.float32]:
    """Attention each word gets, [N, W]: the sum over its tokens of ``attention`` [N, L]."""
    return _columns(attention, words, np.sum)


def over_time(matrix: npt.NDArray[np.float32], durations: npt.NDArray[np.float64], aggregate: Aggregate = "mean",
              attention: npt.NDArray[np.float32] | None = None) -> npt.NDArray[np.float64]:
    """One number a word, [W], from ``matrix`` [T, W].

    "mean" weights each frame by its duration in seconds; "max" takes the highest frame; "attention" weights
    a frame by its duration times the word's ``attention`` [T, W] there, so that frames which do not look at
    the word do not count (a word never looked at gets 0).

    Raises:
        SettingError: unknown ``aggregate``, or "attention" without an attention matrix.
    """
    _check_choice("aggregate", aggregate, get_args(Aggregate))
    if aggregate == "max":
        return np.asarray(matrix.max(axis=0), dtype=np.float64)
    if aggregate == "mean":
        weights = np.broadcast_to(durations[:, None], matrix.shape)
    elif attention is None:
        raise SettingError('aggregate="attention" needs attention, which this explanation does not hold: '
                           'use "mean" or "max"')
    else:
        weights = durations[:, None] * attention
    return _weighted_mean(matrix.astype(np.float64), weights)


def _weighted_mean(matrix: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total = weights.sum(axis=0)
    mean = np.divide((matrix * weights).sum(axis=0), total, out=np.zeros(matrix.shape[1]), where=total > 0)
    return np.asarray(mean, dtype=np.float64)


def _columns(matrix: npt.NDArray[np.float32], words: Sequence[Word], merge: object) -> npt.NDArray[np.float32]:
    merged = np.zeros((matrix.shape[0], len(words)), dtype=np.float32)
    for column, word in enumerate(words):
        if word.tokens:
            merged[:, column] = merge(matrix[:, list(word.tokens)], axis=1)  # type: ignore[operator]
    return merged


def _check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise SettingError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
