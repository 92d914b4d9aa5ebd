"""Tokens with character spans from the T5 tokenizer of an audiocraft model."""

from __future__ import annotations

from typing import Any

from xattnmask.text import Token


def tokenize(tokenizer: Any, prompt: str) -> tuple[Token, ...]:
    """All tokens of ``prompt`` as ``T5Conditioner`` makes them, never truncated.

    A span covers a word's own characters, no space before it.
    """
    encoded = tokenizer(prompt, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    ids, spans, flags = (encoded[key] for key in ("input_ids", "offset_mapping", "special_tokens_mask"))
    texts = tokenizer.convert_ids_to_tokens(ids)
    return tuple(_token(prompt, *parts) for parts in zip(ids, texts, spans, flags, strict=True))


def _token(prompt: str, number: int, text: str, span: tuple[int, int], flag: int) -> Token:
    start, end = span
    if flag and start == end:  # an unknown piece of the prompt carries the flag too, but it has a span
        return Token(number, text, 0, 0, special=True)
    piece = prompt[start:end]
    start, end = start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
    if start >= end:  # nothing but space: it opens the word after it
        start = max(span)
        end = start + (start < len(prompt) and not prompt[start].isspace())
    return Token(number, text, start, end)
