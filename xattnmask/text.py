"""Tokens, words, and which tokens belong to which word. Knows neither torch nor any tokenizer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import SettingError

_NUMBERED = re.compile(r"(?P<text>.+)#(?P<number>\d+)", re.DOTALL)


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


def find_word(name: str, words: Sequence[Word]) -> Word:
    """The word called ``name``, upper and lower case alike, or ``name#2`` for the second of that name.

    Raises:
        SettingError: there is none, there are several, or the tokenizer made no token of it.
    """
    found = _called(name, words)
    match = _NUMBERED.fullmatch(name)
    if not found and match is not None:
        return _numbered(name, match["text"], int(match["number"]), words)
    if not found:
        raise SettingError(f"the prompt has no word {name!r}: its words are {', '.join(word.text for word in words)}")
    if len(found) > 1:
        raise SettingError(f"the prompt has {name!r} {len(found)} times: write {name}#1 to {name}#{len(found)} for one")
    return _with_tokens(found[0])


def _numbered(name: str, text: str, number: int, words: Sequence[Word]) -> Word:
    found = _called(text, words)
    if not 1 <= number <= len(found):
        raise SettingError(f"the prompt has no word {name!r}: it has {text!r} {len(found)} times")
    return _with_tokens(found[number - 1])


def _called(name: str, words: Sequence[Word]) -> list[Word]:
    return [word for word in words if word.text.casefold() == name.casefold()]


def _with_tokens(word: Word) -> Word:
    if not word.tokens:
        raise SettingError(f"the tokenizer made nothing of {word.text!r}: it never reached the model")
    return word


def _overlapping(tokens: Sequence[Token], start: int, end: int) -> tuple[int, ...]:
    return tuple(i for i, t in enumerate(tokens) if not t.special and t.start < end and t.end > start)


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")
