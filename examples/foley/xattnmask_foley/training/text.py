"""The T5 encoder of MusicGen and AudioLDM2: a small one that learns from captions alone where a word stands.

MusicGen keeps a T5 that learned language before, and so does ours. Trained on codes only, the encoder stays a bag of
words for thousands of steps: two words of the same text get the same states, and who comes ``after`` whom is not
learned. What it has to tell is local, so that what a word means stays with its own token: nouns and modifiers their
side of the connector, by which the decoder pairs them; nouns themselves; words that cause nothing neither.

Where modifiers tell their noun as well, a MusicGen decoder learns order sooner, but reads nouns off them, and no mask
can say which was meant. So MusicGen's encoder tells it at first, and is made to forget it (:mod:`.forgetting`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import T5EncoderModel, T5Tokenizer

from ..world import SOURCES, Caption, sample_caption
from .corpus import BABBLE, TRAIN
from .loop import Loop

STEPS = 1500
BATCH = 64
LR = 7e-4
NOISE = 1.0
"""Of unit variance, as the states are: what the encoder tells must be heard through it."""
MODIFIERS = ("loudness", "speed", "pitch", "count")
_NOWHERE, _NO_NOUN, _IGNORED = 0, len(SOURCES), -100


def config(tokenizer: T5Tokenizer) -> dict[str, Any]:
    """The configuration of the encoder."""
    return {
        "model_type": "t5",
        "vocab_size": len(tokenizer),
        "d_model": 128,
        "d_kv": 32,
        "d_ff": 256,
        "num_layers": 2,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "n_positions": 64,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }


class WordProbe(nn.Module):
    """Reads off a state, by linear maps, the word's side of the connector and the noun that it is, or is about."""

    def __init__(self, width: int):
        super().__init__()
        self.side, self.noun = nn.Linear(width, 3), nn.Linear(width, len(SOURCES) + 1)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [batch, tokens, 3] of nowhere, left, right; and [batch, tokens, sources + 1], the last for none."""
        return self.side(states), self.noun(states)


def train(
    folder: Path, encoder: T5EncoderModel, tokenizer: T5Tokenizer, steps: int, seed: int = 4, *, about: bool = False
) -> None:
    """Train ``encoder`` in place, or go on training it; with ``about``, modifiers tell their noun too."""
    torch.manual_seed(seed)
    look_around(encoder)
    both = nn.ModuleList([encoder.train(), WordProbe(encoder.config.d_model)])
    optimizer = torch.optim.AdamW(both.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=0.02)
    loop = Loop(folder, both, optimizer, steps=steps, lr=LR)
    loop.run(lambda i: _step(*both, tokenizer, optimizer, np.random.default_rng([TRAIN, seed, i]), about))
    encoder.eval().requires_grad_(False).zero_grad()  # or its last gradient would count where later ones are clipped


@torch.no_grad()
def look_around(encoder: T5EncoderModel) -> None:
    """Start the heads off looking at the word before, the word after, all before, and all after."""
    bias = encoder.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight  # [buckets, heads]
    half = bias.shape[0] // 2  # buckets 1.. are distances to the left, half + 1.. to the right
    bias.zero_()
    bias[1, 0] = bias[half + 1, 1] = 4.0
    bias[1:half, 2], bias[half:, 2] = 2.5, -2.5
    bias[1:half, 3], bias[half:, 3] = -2.5, 2.5


def _step(
    encoder: T5EncoderModel,
    probe: WordProbe,
    tokenizer: T5Tokenizer,
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
    about: bool,
) -> dict[str, float]:
    said = drawn(rng)
    text = tokenizer([caption.text for caption in said], padding=True, return_tensors="pt")
    told = states(encoder, text)
    losses, rights = [], []
    read = probe(told + NOISE * torch.randn_like(told))
    for logits, wanted in zip(read, targets(said, text, tokenizer, about), strict=True):
        losses.append(F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=_IGNORED))
        rights.append((logits.argmax(-1) == wanted)[wanted != _IGNORED].float().mean().item())
    optimizer.zero_grad()
    torch.stack(losses).sum().backward()
    torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
    optimizer.step()
    return {"side": losses[0].item(), "noun": losses[1].item(), "side_right": rights[0], "noun_right": rights[1]}


def targets(
    said: list[Caption], text: dict[str, Tensor], tokenizer: T5Tokenizer, about: bool = False
) -> tuple[Tensor, Tensor]:
    """Side and noun of every token of ``text``, each int64 [batch, tokens]; padding is ignored."""
    sides = torch.full_like(text["input_ids"], _IGNORED)
    nouns = sides.clone()
    for row, column, unit in units(said, text, tokenizer):
        sides[row, column], nouns[row, column] = _told(said[row], unit, about)
    return sides, nouns


def units(
    said: list[Caption], text: dict[str, Tensor], tokenizer: T5Tokenizer
) -> Iterator[tuple[int, int, int | None]]:
    """Row, column and unit of every token; None for the end of a text."""
    for row, caption in enumerate(said):
        units = caption.unit_of_word()
        pieces = tokenizer.convert_ids_to_tokens(text["input_ids"][row][text["attention_mask"][row] > 0].tolist())
        word = -1
        for column, piece in enumerate(pieces):
            word += piece.startswith("▁")
            yield row, column, units[word] if piece != tokenizer.eos_token else None


def _told(caption: Caption, unit: int | None, about: bool) -> tuple[int, int]:
    kinds = [u.kind for u in caption.units]
    if unit is None or kinds[unit] not in ("noun", *MODIFIERS):
        return _NOWHERE, _NO_NOUN
    side = kinds[:unit].count("connector")
    tells = about or kinds[unit] == "noun"
    return 1 + side, list(SOURCES).index(caption.phrases[side].noun) if tells else _NO_NOUN


def drawn(rng: np.random.Generator) -> list[Caption]:
    """A batch of captions."""
    return [sample_caption(rng, babble=BABBLE) for _ in range(BATCH)]


def states(encoder: T5EncoderModel, text: dict[str, Tensor]) -> Tensor:
    """The encoder's states [batch, tokens, width] of a text."""
    found: Tensor = encoder(input_ids=text["input_ids"], attention_mask=text["attention_mask"]).last_hidden_state
    return found
