"""Two explanations beside each other: how much more or less each word matters in the second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from .bars import format_rows, printable
from .diagnostics import spearman
from .explanation import Explanation
from .table import WordScore

__all__ = ["Comparison", "WordDifference", "compare"]


@dataclass(frozen=True)
class WordDifference:
    """One word and its importance in both explanations; None where a prompt does not have it.

    ``difference`` is the second less the first, of the shares where the comparison is relative; None without both.
    """

    text: str
    first: float | None
    second: float | None
    difference: float | None


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` finds.

    Attributes:
        first, second: the two explanations.
        words: in the order of the prompts.
        relative: whether differences are of shares of each explanation's highest word, as they must be where the two
            methods or their settings give numbers of different scales.
        correlation: Spearman's rank correlation over the words that both have, in [-1, 1]; None for less than three.
    """

    first: Explanation
    second: Explanation
    words: tuple[WordDifference, ...]
    relative: bool
    correlation: float | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the words with their numbers, and what was compared."""
        return {
            "first": _source(self.first), "second": _source(self.second), "relative": self.relative,
            "correlation": self.correlation, "words": [vars(word) for word in self.words],
        }

    def __str__(self) -> str:
        rows = [(word.text, word.difference) for word in self.words if word.difference is not None]
        table = format_rows([(f"{'+' if value >= 0 else '-'} {text}", abs(value)) for text, value in rows])
        lost = [f"only in the {'second' if word.first is None else 'first'}: {printable(word.text)}"
                for word in self.words if word.difference is None]
        rank = [] if self.correlation is None else [f"rank correlation {self.correlation:.2f}"]
        return "\n".join([table, *lost, *rank])


def compare(first: Explanation, second: Explanation) -> Comparison:
    """Compare two explanations by word: of two seeds, two models, two methods or two prompts.

    Words are matched in their order, upper and lower case alike. Importance is the mean over time; where the methods or
    the settings that shape their numbers differ, differences are of shares of each one's highest word.
    """
    relative = _scale(first) != _scale(second)
    scores = [list(explanation.words()) for explanation in (first, second)]
    scales = [_top(score) if relative else 1.0 for score in scores]
    words = tuple(_difference(a, b, *scales) for a, b in _matched(*scores))
    both = np.array([(word.first, word.second) for word in words if word.difference is not None], dtype=np.float64)
    rank = float(spearman(both[:, 0], both[:, 1])) if len(both) >= 3 else None
    return Comparison(first, second, words, relative, rank if rank is None or np.isfinite(rank) else None)


def _scale(explanation: Explanation) -> tuple[Any, ...]:
    """What decides the scale of a method's numbers."""
    return explanation.method, {name: value for name, value in explanation.settings.items() if name != "seed"}


def _top(scores: Sequence[WordScore]) -> float:
    return max((abs(score.importance) for score in scores), default=1.0) or 1.0


def _matched(first: Sequence[WordScore],
             second: Sequence[WordScore]) -> Iterator[tuple[WordScore | None, WordScore | None]]:
    """Pairs of words in order, None where one prompt lacks the other's."""
    a, b = ([score.text.casefold() for score in scores] for scores in (first, second))
    for kind, i, i_end, j, j_end in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from zip(first[i:i_end], second[j:j_end], strict=True)
        else:
            yield from ((score, None) for score in first[i:i_end])
            yield from ((None, score) for score in second[j:j_end])


def _difference(a: WordScore | None, b: WordScore | None, scale_a: float, scale_b: float) -> WordDifference:
    found = a or b
    assert found is not None
    difference = None if a is None or b is None else b.importance / scale_b - a.importance / scale_a
    first, second = (None if score is None else score.importance for score in (a, b))
    return WordDifference(found.text, first, second, difference)


def _source(explanation: Explanation) -> dict[str, Any]:
    return {name: getattr(explanation, name) for name in ("prompt", "model", "checkpoint", "method", "seed")}
