"""Tokens with character spans from a transformers tokenizer."""

from __future__ import annotations

from typing import Any

from xattnmask.text import Token, tokens_from_offsets


def tokenize(tokenizer: Any, prompt: str) -> tuple[Token, ...]:
    """All tokens of ``prompt``, never truncated; a span covers a word's own characters, no space before it."""
    encoded = tokenizer(
        prompt, return_offsets_mapping=True, return_special_tokens_mask=True, truncation=False, verbose=False
    )
    ids = encoded["input_ids"]
    return tokens_from_offsets(
        prompt, ids, tokenizer.convert_ids_to_tokens(ids), encoded["offset_mapping"], encoded["special_tokens_mask"]
    )
