"""Which words of a prompt are weighed otherwise, how much and when: checked data. Knows no model and no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

from .errors import SettingError
from .text import Token, find_word, words_of

if TYPE_CHECKING:  # numpy is imported where it is used: the command's help must not wait for it
    import numpy as np
    import numpy.typing as npt

MAX_WEIGHT = 4.0
"""The highest weight of a word: beyond it attention has little left to give it, and the model leaves what it knows."""

_SLACK = 1e-3  # seconds an interval may reach past the ends: times are shown to a millisecond
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_EDIT = re.compile(rf"(?P<word>.+)=(?P<weight>{_NUMBER})(?:@(?P<start>{_NUMBER})-(?P<end>{_NUMBER}))?", re.DOTALL)


@dataclass(frozen=True)
class WordEdit:
    """One word and what becomes of it.

    Attributes:
        word: as it stands in the prompt, upper and lower case alike; ``siren#2`` is the second of several.
        weight: 0 takes it away, below 1 weakens it, above 1 strengthens it, to at most :data:`MAX_WEIGHT`.
        start, end: the stretch in seconds in which that holds; the whole clip where None.
    """

    word: str
    weight: float
    start: float | None = None
    end: float | None = None

    @classmethod
    def parse(cls, text: str) -> WordEdit:
        """Read ``WORD=WEIGHT`` or ``WORD=WEIGHT@START-END``, as the command line takes it.

        Raises:
            SettingError: it is written otherwise.
        """
        match = _EDIT.fullmatch(text.strip())
        if match is None:
            raise SettingError(f"cannot read {text!r}: write WORD=WEIGHT or WORD=WEIGHT@START-END, as siren=0@1.0-2.5")
        bounds = (None if match[name] is None else float(match[name]) for name in ("start", "end"))
        return cls(match["word"].strip(), float(match["weight"]), *bounds)


Edits = Mapping[str, float] | Sequence[WordEdit]
"""Weights by word, for the whole clip; or edits one by one."""


def token_weights(edits: Edits, prompt: str, tokens: Sequence[Token],
                  times: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The weight of every token in every frame, float32 [frames, tokens], 1 where nothing is edited.

    ``times`` are the edges of the frames in seconds, [frames + 1]. Where edits overlap, the later one holds.

    Raises:
        SettingError: a word that the prompt does not have or has twice, a weight out of range, a stretch outside the
            audio.
    """
    import numpy as np

    if isinstance(edits, Mapping):
        edits = [WordEdit(word, weight) for word, weight in edits.items()]
    weights = np.ones((len(times) - 1, len(tokens)), dtype=np.float32)
    words = words_of(prompt, tokens)
    for change in edits:
        _check_weight(change)
        word = find_word(change.word, words)
        frames = _frames(change, times)
        weights[np.ix_(frames, np.array(word.tokens))] = change.weight
    return weights


def _frames(change: WordEdit, times: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Indices of the frames that an edit holds for: those whose middle lies in its stretch, but at least one."""
    import numpy as np

    first, last = float(times[0]), float(times[-1])
    start = first if change.start is None else change.start
    end = last if change.end is None else change.end
    if not start < end:
        raise SettingError(f"{change.word!r}: stretch {start:g} to {end:g} s is empty: the start must be below the end")
    if start < first - _SLACK or end > last + _SLACK:
        raise SettingError(f"{change.word!r}: stretch {start:g} to {end:g} s reaches outside the audio, "
                           f"{first:.3f} to {last:.3f} s")
    middles = (times[:-1] + times[1:]) / 2
    inside = np.flatnonzero((middles >= start) & (middles < end))
    return inside if len(inside) else np.array([np.abs(middles - (start + end) / 2).argmin()])


def _check_weight(change: WordEdit) -> None:
    weight = change.weight
    if isinstance(weight, bool) or not isinstance(weight, Real) or not math.isfinite(weight):
        raise SettingError(f"the weight of {change.word!r} must be a number, not {weight!r}")
    if not 0 <= weight <= MAX_WEIGHT:
        raise SettingError(f"the weight of {change.word!r} must be between 0 and {MAX_WEIGHT:g}, not {weight:g}")
