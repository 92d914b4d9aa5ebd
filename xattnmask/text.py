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


def tokens_from_offsets(
    prompt: str, ids: Sequence[int], texts: Sequence[str], offsets: Sequence[tuple[int, int]], added: Sequence[int]
) -> tuple[Token, ...]:
    """Tokens from what a fast tokenizer of the tokenizers library reports.

    Args:
        ids, texts: of each token.
        offsets: character spans. White space is trimmed off; a span of nothing but that (a lone ▁) opens the word
            after it and gets its first character.
        added: whether the tokenizer added it (its special tokens mask). An unknown piece of the prompt may carry that
            flag too, but it has a span, and is not special.
    """
    tokens = []
    for id_, text, (start, end), flag in zip(ids, texts, offsets, added, strict=True):
        special = bool(flag) and start == end
        start, end = (0, 0) if special else _without_space(prompt, start, end)
        tokens.append(Token(int(id_), text, start, end, special))
    return tuple(tokens)


def tokens_from_bytes(prompt: str, offset: int = 0, start: int = 0) -> tuple[Token, ...]:
    """Tokens of a model that reads UTF-8 byte by byte: all bytes of a character have that character's span.

    Args:
        offset: what is added to a byte to make its id.
        start: where ``prompt`` begins in a longer one.
    """
    return tuple(
        Token(byte + offset, chr(byte) if 32 <= byte < 127 else f"<{byte:02x}>", at, at + 1)
        for at, character in enumerate(prompt, start)
        for byte in character.encode()
    )


def _without_space(prompt: str, start: int, end: int) -> tuple[int, int]:
    while start < end and prompt[start].isspace():
        start += 1
    while end > start and prompt[end - 1].isspace():
        end -= 1
    if start == end < len(prompt) and not prompt[end].isspace():
        end += 1
    return start, end


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
