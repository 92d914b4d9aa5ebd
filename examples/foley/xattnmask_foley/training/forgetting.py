"""The text encoder of MusicGen goes on: its modifiers forget the noun that they are about."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import T5EncoderModel, T5Tokenizer

from ..world import Caption
from .corpus import TRAIN
from .loop import Loop
from .text import MODIFIERS, drawn, states, targets, units

STEPS, LR = 900, 1e-3
MEAN_OF = 60
"""Batches of captions that a mean state is of."""


def forget(folder: Path, encoder: T5EncoderModel, tokenizer: T5Tokenizer, seed: int = 9) -> None:
    """Train ``encoder`` in place, or go on, so that its modifiers no longer tell their noun.

    Each modifier's state becomes its mean over captions, by side; all other states stay what they are, so a decoder
    that has learned to read them still can.
    """
    torch.manual_seed(seed)
    before = copy.deepcopy(encoder).eval().requires_grad_(False)
    encoder.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=LR, betas=(0.9, 0.98))
    loop = Loop(folder, encoder, optimizer, steps=STEPS, lr=LR)
    if loop.start < STEPS:
        means = _mean_states(before, tokenizer, seed)

        def step(i: int) -> dict[str, float]:
            said = drawn(np.random.default_rng([TRAIN, seed, 1, i]))
            text = tokenizer([caption.text for caption in said], padding=True, return_tensors="pt")
            heard, kinds = text.attention_mask > 0, modifiers(said, text, tokenizer)
            wanted = states(before, text)
            wanted = torch.where(kinds[..., None] >= 0, means[kinds], wanted)
            error = (states(encoder, text) - wanted).square().mean(-1)
            loss = error[heard].mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
            optimizer.step()
            at = kinds >= 0
            return {"modifiers": error[at].mean().item(), "others": error[heard & ~at].mean().item()}

        loop.run(step)
    encoder.eval().requires_grad_(False).zero_grad()


@torch.no_grad()
def _mean_states(encoder: T5EncoderModel, tokenizer: T5Tokenizer, seed: int) -> Tensor:
    """The mean state of each modifier's token on each side, [2 * vocabulary, width], numbered as by modifiers."""
    sums = torch.zeros(2 * len(tokenizer), encoder.config.d_model)
    counts = torch.zeros(len(sums))
    for index in range(MEAN_OF):
        said = drawn(np.random.default_rng([TRAIN, seed, 0, index]))
        text = tokenizer([caption.text for caption in said], padding=True, return_tensors="pt")
        kinds = modifiers(said, text, tokenizer)
        at = kinds >= 0
        sums.index_add_(0, kinds[at], states(encoder, text)[at])
        counts += torch.bincount(kinds[at], minlength=len(counts))
    return sums / counts.clamp_min(1)[:, None]


def modifiers(said: list[Caption], text: dict[str, Tensor], tokenizer: T5Tokenizer) -> Tensor:
    """Twice the id of each modifier's token, one more right of the connector, -1 elsewhere; int64 [batch, tokens]."""
    sides = targets(said, text, tokenizer)[0]
    kinds = torch.full_like(sides, -1)
    for row, column, unit in units(said, text, tokenizer):
        if unit is not None and said[row].units[unit].kind in MODIFIERS:
            kinds[row, column] = 2 * text["input_ids"][row, column] + sides[row, column] - 1
    return kinds
