"""A T5 tokenizer for the foley world: its own words whole, any other word letter by letter."""

from __future__ import annotations

import string

from transformers import T5Tokenizer

from ..world.grammar import CLASSES

_SPECIAL = ("<pad>", "</s>", "<unk>")
_LETTERS = string.ascii_letters + string.digits + ".,;:!?'-"
_WORD_SCORE, _LETTER_SCORE = -3.0, -8.0


def build() -> T5Tokenizer:
    """The tokenizer; its Unigram scores make one word cheaper than any spelling of it."""
    words = {word for texts in CLASSES.values() for text in texts for word in text.split()}
    starts = {text.split()[0].capitalize() for kind in ("article", "opener") for text in CLASSES[kind]}
    pieces = [(piece, 0.0) for piece in _SPECIAL]
    pieces += [(f"▁{word}", _WORD_SCORE) for word in sorted(words) + sorted(starts)]
    pieces += [(letter, _LETTER_SCORE) for letter in ("▁", *_LETTERS)]
    return T5Tokenizer(vocab=pieces, extra_ids=0)
