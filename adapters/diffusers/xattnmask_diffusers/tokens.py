"""Tokens with character spans, and which token of one tokenizer stands for which of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xattnmask.text import Token, tokens_from_offsets

NO_LIMIT = 10**6


def tokenize(tokenizer: Any, prompt: str) -> tuple[Token, ...]:
    """All tokens of ``prompt``, never truncated."""
    encoded = tokenizer(
        prompt, return_offsets_mapping=True, return_special_tokens_mask=True, truncation=False, verbose=False
    )
    ids = encoded["input_ids"]
    return tokens_from_offsets(
        prompt, ids, tokenizer.convert_ids_to_tokens(ids), encoded["offset_mapping"], encoded["special_tokens_mask"]
    )


def limit(tokenizer: Any, most: int) -> int:
    """How many tokens an encoder takes: what its tokenizer says, if it does, and never above ``most``."""
    return min(int(tokenizer.model_max_length), most) if tokenizer.model_max_length < NO_LIMIT else most


def alignment(tokens: Sequence[Token], others: Sequence[Token]) -> tuple[list[int], list[int]]:
    """Which of ``others`` stand for tokens of the prompt, and for which of ``tokens``: indices into each.

    Both are cuts of one prompt; of several that overlap, the one that shares most characters counts. Special tokens
    stand for none.
    """
    pairs = [(k, _best(tokens, other)) for k, other in enumerate(others) if not other.special]
    found = [(k, best) for k, best in pairs if best is not None]
    return [k for k, _ in found], [best for _, best in found]


def _best(tokens: Sequence[Token], other: Token) -> int | None:
    shared = [0 if t.special else min(t.end, other.end) - max(t.start, other.start) for t in tokens]
    most = max(shared, default=0)
    return shared.index(most) if most > 0 else None
