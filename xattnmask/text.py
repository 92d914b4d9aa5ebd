"""Tokens, words, and which tokens belong to which word. Knows neither torch nor any tokenizer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """One token of a prompt, as the backbone's tokenizer made it.

    ``start`` and ``end`` are character offsets into the prompt; a special token (end of sentence,
    padding, a time key) has ``special=True`` and an empty span.
    """

    id: int
    text: str
    start: int
    end: int
    special: bool = False


@dataclass(frozen=True)
class Word:
    """One word as the person typed it, with its character span and the indices of its tokens."""

    text: str
    start: int
    end: int
    tokens: tuple[int, ...]


def word_spans(prompt: str) -> list[tuple[int, int]]:
    """Character spans of the words of ``prompt``: chunks between white space, outer punctuation removed.

    A chunk of nothing but punctuation is no word; one that holds symbols (an emoji) is.
    """
    spans = []
    for chunk in re.finditer(r"\S+", prompt):
        start, end = chunk.span()
        while start < end and _is_punctuation(prompt[start]):
            start += 1
        while end > start and _is_punctuation(prompt[end - 1]):
            end -= 1
        if start < end:
            spans.append((start, end))
    return spans


def words_of(prompt: str, tokens: Sequence[Token]) -> tuple[Word, ...]:
    """The words of ``prompt`` with the tokens that overlap each; special tokens belong to no word."""
    return tuple(
        Word(prompt[start:end], start, end, _overlapping(tokens, start, end)) for start, end in word_spans(prompt)
    )


def _overlapping(tokens: Sequence[Token], start: int, end: int) -> tuple[int, ...]:
    return tuple(i for i, t in enumerate(tokens) if not t.special and t.start < end and t.end > start)


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")
