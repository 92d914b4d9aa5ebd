"""Deletion and insertion curves over words (Petsiuk et al., 2018, RISE; there over pixels)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import SettingError
from ..text import Word

Kept = npt.NDArray[np.bool_]
Score = Callable[[Kept], float]
"""From which words are kept, bool [words], to how much of the sound is left: a judge's probability, say."""


@dataclass(frozen=True)
class Curve:
    """A curve over words: ``values`` [words + 1] after none, one, ... all of them, and the area under it in [0, 1]."""

    values: tuple[float, ...]

    @property
    def area(self) -> float:
        """The area under the curve, by trapezia, over the share of words: the mean height."""
        heights = np.array(self.values)
        return float((heights[1:] + heights[:-1]).mean() / 2)


def deletion_curve(importance: npt.NDArray[np.floating], score: Score) -> Curve:
    """The score as words are taken away, the most important first; a low area is good.

    Args:
        importance: by word, [words]; of equal ones the first in the prompt goes first.
        score: what is asked for each set of words that are left.
    """
    return Curve(tuple(score(~taken) for taken in _steps(importance)))


def insertion_curve(importance: npt.NDArray[np.floating], score: Score) -> Curve:
    """The score as words come back, the most important first, from none; a high area is good. As deletion_curve."""
    return Curve(tuple(score(taken) for taken in _steps(importance)))


def word_mask(kept: Kept, words: Sequence[Word], num_tokens: int) -> npt.NDArray[np.float32]:
    """A mask [1, tokens] for :func:`xattnmask.patch`: 0 for the tokens of words that are not kept, else 1."""
    mask = np.ones((1, num_tokens), dtype=np.float32)
    for keep, word in zip(kept, words, strict=True):
        if not keep:
            mask[0, list(word.tokens)] = 0
    return mask


def _steps(importance: npt.NDArray[np.floating]) -> list[Kept]:
    """For each number of words, from none to all, which are among that many most important ones."""
    if importance.ndim != 1 or not len(importance):
        raise SettingError(f"a curve needs importance by word, [words], not {list(importance.shape)}")
    rank = np.empty(len(importance), dtype=int)
    rank[np.argsort(-importance, kind="stable")] = np.arange(len(importance))
    return [rank < count for count in range(len(importance) + 1)]
