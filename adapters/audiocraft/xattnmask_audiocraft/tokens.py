"""Tokens with character spans from the T5 tokenizer of an audiocraft model."""

from __future__ import annotations

from typing import Any

from xattnmask.text import Token, tokens_from_offsets


def tokenize(tokenizer: Any, prompt: str) -> tuple[Token, ...]:
    """All tokens of ``prompt`` as ``T5Conditioner`` makes them, never truncated.

    A span covers a word's own characters, no space before it.
    """
    encoded = tokenizer(prompt, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    ids, spans, added = (encoded[key] for key in ("input_ids", "offset_mapping", "special_tokens_mask"))
    return tokens_from_offsets(prompt, ids, tokenizer.convert_ids_to_tokens(ids), spans, added)
