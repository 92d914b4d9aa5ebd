"""Tokens with character spans from a transformers tokenizer."""

from __future__ import annotations

from typing import Any

from xattnmask.text import Token


def tokenize(tokenizer: Any, prompt: str) -> tuple[Token, ...]:
    """All tokens of ``prompt``, never truncated; a span covers a word's own characters, no space before it."""
    encoded = tokenizer(
        prompt, return_offsets_mapping=True, return_special_tokens_mask=True, truncation=False, verbose=False
    )
    texts = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    tokens = []
    for i, (start, end) in enumerate(encoded["offset_mapping"]):
        special = _is_special(encoded["special_tokens_mask"][i], start, end)
        start, end = (0, 0) if special else _without_space(prompt, start, end)
        tokens.append(Token(encoded["input_ids"][i], texts[i], start, end, special))
    return tuple(tokens)


def _is_special(flag: int, start: int, end: int) -> bool:
    """Added by the tokenizer; an unknown piece of the prompt may carry the flag too, but it has a span."""
    return bool(flag) and start == end


def _without_space(prompt: str, start: int, end: int) -> tuple[int, int]:
    """Trim white space; a token of nothing but space (a lone ▁) opens the word after it, and gets its first character.

    That is what tokenizers report for the ▁ they put before the first word.
    """
    while start < end and prompt[start].isspace():
        start += 1
    while end > start and prompt[end - 1].isspace():
        end -= 1
    if start == end < len(prompt) and not prompt[end].isspace():
        end += 1
    return start, end
