"""A text encoder of MusicGen or AudioLDM2 goes on: where a word is left out inside it, all other words read as before.

Explanations and edits take words away inside the text encoder, which it has never seen: a T5 that finds where a phrase
begins by its article misreads the phrase without it, and the article, which causes nothing, counts as a cause.
"""

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
from .text import drawn, states, units

STEPS, LR = 1500, 1e-3
WHOLE, MOST = 0.2, 0.6
"""Share of the captions that are read whole, and the largest share of words that is left out of the others."""
UNCONNECTED = 0.15
"""Share of the captions without their connector: it alone says on which side of it a word stands."""


def omit(folder: Path, encoder: T5EncoderModel, tokenizer: T5Tokenizer, seed: int = 10) -> None:
    """Train ``encoder`` in place, or go on, so that a word's state does not depend on other words being read.

    States become those that it had with all words read, connectors apart: so what has learned to read them still can.
    """
    torch.manual_seed(seed)
    before = copy.deepcopy(encoder).eval().requires_grad_(False)
    encoder.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=LR, betas=(0.9, 0.98))
    loop = Loop(folder, encoder, optimizer, steps=STEPS, lr=LR)

    def step(i: int) -> dict[str, float]:
        rng = np.random.default_rng([TRAIN, seed, i])
        said = drawn(rng)
        text = tokenizer([caption.text for caption in said], padding=True, return_tensors="pt")
        whole, read = masks(said, text, tokenizer, rng)
        wanted = states(before, {**text, "attention_mask": whole})
        error = (states(encoder, {**text, "attention_mask": read}) - wanted).square().mean(-1)
        loss = error[read > 0].mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        return {"error": loss.item()}

    loop.run(step)
    encoder.eval().requires_grad_(False).zero_grad()


def masks(
    said: list[Caption], text: dict[str, Tensor], tokenizer: T5Tokenizer, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """What is read before and after words are left out, each int64 [batch, tokens]; the end of a text always is."""
    connector, word = np.zeros((2, *text["input_ids"].shape), dtype=bool)
    for row, column, unit in units(said, text, tokenizer):
        if unit is not None:
            connects = said[row].units[unit].kind == "connector"
            connector[row, column], word[row, column] = connects, not connects
    rows = len(said)
    share = MOST * rng.random((rows, 1)) ** 2 * (rng.random((rows, 1)) >= WHOLE)
    unconnected = connector & (rng.random((rows, 1)) < UNCONNECTED)
    out = word & (rng.random(word.shape) < share)
    whole = text["attention_mask"] * torch.from_numpy(~unconnected)
    return whole, whole * torch.from_numpy(~out)
