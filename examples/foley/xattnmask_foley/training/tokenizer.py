"""Tokenizers for the foley world, T5's and RoBERTa's: its own words whole, any other word letter by letter."""

from __future__ import annotations

import json
import string

from tokenizers import ByteLevelBPETokenizer
from transformers import RobertaTokenizer, T5Tokenizer

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


def build_roberta() -> RobertaTokenizer:
    """CLAP's tokenizer: byte-level pairs, merged until each of the world's words is one piece."""
    words = {word for texts in CLASSES.values() for text in texts for word in text.split()}
    starts = {text.split()[0].capitalize() for kind in ("article", "opener") for text in CLASSES[kind]}
    pairs = ByteLevelBPETokenizer()
    texts = [space + word for word in sorted(words | starts) for space in ("", " ")]
    pairs.train_from_iterator(texts, vocab_size=10_000, min_frequency=1, show_progress=False)
    trained = json.loads(pairs.to_str())["model"]
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *trained["vocab"]]
    return RobertaTokenizer(
        vocab={name: index for index, name in enumerate(names)},
        merges=[tuple(pair) for pair in trained["merges"]],
        model_max_length=64,
    )
