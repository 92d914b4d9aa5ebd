"""Tokens, words and character spans."""

from __future__ import annotations

from ...text import Token, words_of
from ..check import check, require
from ..subject import Subject

PROMPTS = (
    "a dog barks then a siren wails",
    "dog dog dog",
    "A  dog, (barking) -- then; a dog's siren...",
    " leading and trailing ",
    "un perro ladró y el niño cantó",
    "犬が吠える と 猫",
    "a dog 🐶 barks 🐕‍🦺 loudly",
    "e\u0301 o\u0308 ½ ﬁne",
    "tab\tand\nline",
)
"""Plain, repeated words, punctuation, spaces, accents, no Latin letters, emoji (one of several code points), combining
and compatibility characters, other white space."""
_SPANS = "xattnmask.text.tokens_from_offsets makes them of a fast tokenizer's offsets, tokens_from_bytes of bytes"


@check("tokens, words and character spans agree, whatever the characters", f"See tokenize; {_SPANS}.")
def tokens(subject: Subject) -> None:
    for prompt in PROMPTS:
        found = subject.model.tokenize(prompt)
        require(isinstance(found, tuple) and all(isinstance(token, Token) for token in found), "tokenize must return a "
                "tuple of xattnmask.Token")
        require(found == subject.model.tokenize(prompt), f"tokenize({prompt!r}) gives other tokens the second time")
        for index, token in enumerate(found):
            _check_span(prompt, index, token)
        _check_order(prompt, found)
        _check_words(prompt, found)


def _check_span(prompt: str, index: int, token: Token) -> None:
    where = f"token {index} ({token.text!r}) of {prompt!r}"
    require(0 <= token.start <= token.end <= len(prompt), f"{where} has the span {token.start}:{token.end} and the "
            f"prompt {len(prompt)} characters: give offsets in characters, not in bytes or tokens. {_SPANS}")
    if token.special:
        require(token.start == token.end, f"{where} is special and has a span: give it an empty one, or special=False")
    elif prompt == " ".join(prompt.split()):  # elsewhere a piece may stand for white space that nobody scores
        require(token.start < token.end, f"{where} has an empty span and is not special: mark it special=True, or give "
                f"the characters that it stands for. {_SPANS}")


def _check_order(prompt: str, found: tuple[Token, ...]) -> None:
    spans = [(token.start, token.end) for token in found if not token.special]
    require(spans == sorted(spans), f"the tokens of {prompt!r} are not in the order of its characters: keep the order "
            "of the text keys, and give each its own span")


def _check_words(prompt: str, found: tuple[Token, ...]) -> None:
    owners: dict[int, str] = {}
    for word in words_of(prompt, found):
        require(bool(word.tokens), f"the word {word.text!r} of {prompt!r} has no token: its characters lie in no "
                f"token's span. {_SPANS}")
        for index in word.tokens:
            require(index not in owners, f"token {index} ({found[index].text!r}) of {prompt!r} covers both "
                    f"{owners.get(index)!r} and {word.text!r}, so that their scores cannot be told apart: leave white "
                    "space out of spans")
            owners[index] = word.text
