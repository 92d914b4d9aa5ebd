"""Text sides of the two diffusion models: from texts to what their denoisers are given."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from diffusers.pipelines.audioldm2 import AudioLDM2ProjectionModel
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ClapModel, GPT2Config, GPT2LMHeadModel, T5EncoderModel

from ..world import SOURCES, sample_caption
from ..world.grammar import FORWARD, REVERSE
from . import clap as clap_stage
from .corpus import BABBLE, TRAIN
from .loop import Loop
from .meaning import FACTS, SIDES, meaning
from .tokenizer import build as build_t5
from .tokenizer import build_roberta

WIDTH, MADE = 96, 8
"""Of GPT-2's states, and how many of them it makes of a text."""
STEPS, BATCH, LR = 2400, 32, 1e-3


class Condition(Protocol):
    """Gives a denoiser's keyword arguments that carry ``texts``; some of their tokens go unheard, if asked."""

    def __call__(self, texts: list[str], unheard: float | None = None) -> dict[str, Tensor]:
        """``unheard``: of each text a share u ** unheard of the tokens is not attended to, u drawn from [0, 1)."""


class PooledText:
    """AudioLDM's: CLAP's vector of the text, of length 1, as class labels."""

    def __init__(self, clap: ClapModel):
        self.clap, self.tokenizer = clap, build_roberta()

    @torch.no_grad()
    def __call__(self, texts: list[str], unheard: float | None = None) -> dict[str, Tensor]:
        return {
            "class_labels": clap_stage.features(self.clap, self.tokenizer, texts, unheard),
            "encoder_hidden_states": None,
        }


class TwoTexts(nn.Module):
    """AudioLDM2's: T5's states, and those that GPT-2 makes of CLAP's vector and T5's states."""

    def __init__(self, clap: ClapModel, t5: T5EncoderModel):
        super().__init__()
        self.clap, self.t5 = clap, t5
        self.tokenizer, self.roberta = build_t5(), build_roberta()
        self.tokenizer.model_max_length = t5.config.n_positions  # the pipeline cuts there, and has to know where
        self.projection = AudioLDM2ProjectionModel(clap.config.projection_dim, t5.config.d_model, WIDTH)
        nn.init.normal_(self.projection.sos_embed)  # all ones as diffusers starts them, one like the other
        for mark in (self.projection.eos_embed, self.projection.sos_embed_1, self.projection.eos_embed_1):
            nn.init.normal_(mark)
        self.language = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=8, n_positions=96, n_embd=WIDTH, n_layer=2, n_head=4, n_inner=2 * WIDTH, resid_pdrop=0.0,
                embd_pdrop=0.0, attn_pdrop=0.0, max_new_tokens=MADE, bos_token_id=0, eos_token_id=0,
            )
        )  # fmt: skip

    @torch.no_grad()
    def forward(self, texts: list[str], unheard: float | None = None) -> dict[str, Tensor]:
        states, mask = self.read(texts, unheard)
        return {
            "encoder_hidden_states": self.made(texts, states, mask, unheard),
            "encoder_hidden_states_1": states, "encoder_attention_mask_1": mask,
        }  # fmt: skip

    def read(self, texts: list[str], unheard: float | None) -> tuple[Tensor, Tensor]:
        """T5's states of the texts and the mask of those that are heard."""
        said = self.tokenizer(texts, padding=True, return_tensors="pt")
        with torch.no_grad():
            states = self.t5(input_ids=said.input_ids, attention_mask=said.attention_mask).last_hidden_state
        mask = said.attention_mask
        if unheard is not None:
            mask = mask * (torch.rand(mask.shape) >= torch.rand(len(mask), 1) ** unheard)
        return states, mask

    def made(self, texts: list[str], states: Tensor, mask: Tensor, unheard: float | None) -> Tensor:
        """The states that GPT-2 makes, [texts, MADE, width], one after the other, as the pipeline has it make them."""
        with torch.no_grad():
            pooled = clap_stage.features(self.clap, self.roberta, texts, unheard)[:, None]
        projected = self.projection(
            hidden_states=pooled, hidden_states_1=states, attention_mask=mask.new_ones(len(mask), 1),
            attention_mask_1=mask,
        )  # fmt: skip
        sequence, attended = projected.hidden_states, projected.attention_mask
        for _ in range(MADE):
            found = self.language.transformer(inputs_embeds=sequence, attention_mask=attended).last_hidden_state
            sequence = torch.cat([sequence, found[:, -1:]], 1)
            attended = torch.cat([attended, attended.new_ones(len(attended), 1)], 1)
        return sequence[:, -MADE:]


def train(folder: Path, clap: ClapModel, t5: T5EncoderModel, seed: int = 8) -> TwoTexts:
    """Train GPT-2 and its projection, or go on training them: each state it makes tells what an eighth sounds like.

    AudioLDM2's learned to tell features of the audio itself (its paper, 3.2); ours is asked for their causes. Beside
    each caption that has an order it is told the one in the other order, or ``after`` is never learned: it is one
    connector of several, and only its own state tells that what is named first sounds last.
    """
    torch.manual_seed(seed)
    texts = TwoTexts(clap, t5)
    probe = nn.Linear(WIDTH, len(SOURCES) * FACTS)
    trained = nn.ModuleList([texts.projection, texts.language, probe]).train()
    optimizer = torch.optim.AdamW(trained.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=0.02)
    loop = Loop(folder, trained, optimizer, steps=STEPS, lr=LR)

    def step(i: int) -> dict[str, float]:
        rng = np.random.default_rng([TRAIN, seed, i])
        said = [sample_caption(rng, babble=BABBLE) for _ in range(BATCH)]
        ordered = [caption for caption in said if caption.arrangement in (FORWARD, REVERSE)]
        heard = [caption.text for caption in said] + [clap_stage.turned(caption) for caption in ordered]
        states, mask = texts.read(heard, clap_stage.UNHEARD)
        wanted = torch.cat([meaning(said), meaning(ordered).flip(1)]).repeat_interleave(MADE // SIDES, 1)
        logits = probe(texts.made(heard, states, mask, clap_stage.UNHEARD))
        loss = 100 * F.binary_cross_entropy_with_logits(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        return {"told": loss.item()}

    loop.run(step)
    texts.eval().requires_grad_(False)
    return texts
