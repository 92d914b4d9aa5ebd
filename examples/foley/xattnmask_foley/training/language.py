"""Stage 3, the language model: a MusicGen decoder on a T5 encoder that is kept, trained on codes of rendered clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    EncodecModel,
    MusicgenConfig,
    MusicgenForConditionalGeneration,
    T5Tokenizer,
)

from ..world import Caption, rephrase
from . import text
from .corpus import BABBLE, FRAMES, TRAIN, VALIDATION, captions
from .encoding import encoded
from .forgetting import forget
from .loop import Loop
from .omission import omit
from .tokenizer import build as build_tokenizer

POOL, HELD_OUT = 15_000, 256
BATCH = 20
LR = 1.2e-3
NO_TEXT = 0.1
"""How often a caption is left out, so that the model learns to play without guidance too."""
UNHEARD = 4.0
"""Of each caption a share u ** UNHEARD of the tokens is not attended to, u drawn from [0, 1): so that the model knows
what to do without a word, and does not take ``and`` for granted."""
FORGET = 2.0
"""Each clip forgets a share u ** FORGET of the codes it has heard, u drawn from [0, 1). With all of them at hand, what
sounds now is told by what sounded before, and the text is heard at onsets only."""


def build(codec: EncodecModel, tokenizer: T5Tokenizer) -> MusicgenForConditionalGeneration:
    """A MusicGen of the real class with untrained weights around the trained codec.

    Built from one configuration: put together from parts, its decoder would silently not be causal.
    """
    size = codec.config.codebook_size
    decoder = {
        "vocab_size": size,
        "hidden_size": 192,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "ffn_dim": 384,
        "num_codebooks": codec.config.num_quantizers,
        "max_position_embeddings": 256,
        "dropout": 0.0,
        "activation_function": "gelu",
        "pad_token_id": size,
        "bos_token_id": size,
        "eos_token_id": None,
        "scale_embedding": False,
        "audio_channels": 1,
        "tie_word_embeddings": False,
    }
    config = MusicgenConfig(text_encoder=text.config(tokenizer), audio_encoder=codec.config.to_dict(), decoder=decoder)
    model = MusicgenForConditionalGeneration(config)
    model.audio_encoder.load_state_dict(codec.state_dict())
    model.audio_encoder.requires_grad_(False)
    generation = model.generation_config
    generation.pad_token_id = generation.bos_token_id = generation.decoder_start_token_id = size
    generation.eos_token_id = None
    generation.max_length = FRAMES + codec.config.num_quantizers
    generation.do_sample, generation.guidance_scale = True, 3.0
    return model


def train(folder: Path, codec: EncodecModel, steps: int = 10_000, seed: int = 2) -> MusicgenForConditionalGeneration:
    """Train, or go on training, and return the model.

    The text encoder comes first, then the decoder, and in the end the encoder's modifiers forget their noun, and all
    its words are read alike where others are left out.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    model = build(codec, tokenizer).train()
    text.train(folder / "text", model.text_encoder, tokenizer, text.STEPS, about=True)
    model.decoder.set_attn_implementation("eager")  # on a CPU, twice as fast to train as the fused kernel
    assert_causal(model)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=LR, betas=(0.9, 0.98), weight_decay=0.02)
    loop = Loop(folder, model, optimizer, steps=steps, lr=LR)
    if loop.start < steps:
        said = [caption for caption, _ in captions(TRAIN, POOL)]
        codes = encoded(folder / "codes.pt", codec, TRAIN, POOL)
        loop.run(lambda i: _step(model, tokenizer, optimizer, said, codes, np.random.default_rng([seed, i])))
    model.decoder.set_attn_implementation("sdpa")
    assert_causal(model)
    forget(folder / "forgetting", model.text_encoder, tokenizer)
    omit(folder / "omission", model.text_encoder, tokenizer)
    return model.eval()


def _step(
    model: MusicgenForConditionalGeneration,
    tokenizer: T5Tokenizer,
    optimizer: torch.optim.Optimizer,
    said: list[Caption],
    codes: Tensor,
    rng: np.random.Generator,
) -> dict[str, float]:
    rows = rng.integers(len(codes), size=BATCH)
    texts = [_spoken(said[row], rng) for row in rows]
    losses = code_losses(
        model, tokenizer, texts, codes[torch.from_numpy(rows)].long(), no_text=NO_TEXT, unheard=UNHEARD, forget=FORGET
    )
    loss = losses.mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {"loss": loss.item(), **{f"codebook{k}": value.item() for k, value in enumerate(losses)}}


def _spoken(caption: Caption, rng: np.random.Generator) -> str:
    words = rephrase(caption, rng, babble=BABBLE).text
    return words[0].upper() + words[1:] if rng.random() < 0.2 else words


def code_losses(
    model: MusicgenForConditionalGeneration,
    tokenizer: T5Tokenizer,
    texts: list[str],
    codes: Tensor,
    *,
    no_text: float = 0.0,
    unheard: float | None = None,
    forget: float | None = None,
) -> Tensor:
    """Cross-entropy by codebook, [codebooks], of codes [batch, codebooks, frames] under the delay pattern."""
    inputs, targets = delayed(codes, pad=model.config.decoder.pad_token_id)
    if forget is not None:
        forgotten = _chosen(len(inputs), inputs.shape[-1], forget)
        inputs = inputs.masked_fill(forgotten[:, None], model.config.decoder.pad_token_id)
    said = tokenizer(texts, padding=True, return_tensors="pt")
    attended = said.attention_mask * (torch.rand(len(texts), 1) >= no_text)
    if unheard is not None:
        attended = attended * ~_chosen(len(texts), attended.shape[1], unheard)
    encoded_text = model.text_encoder(input_ids=said.input_ids, attention_mask=said.attention_mask)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(
            encoder_outputs=encoded_text,
            attention_mask=attended,
            decoder_input_ids=inputs.flatten(0, 1),
            use_cache=False,
        ).logits
    logits = logits.float().view(*targets.shape, -1)
    return torch.stack(
        [
            F.cross_entropy(logits[:, k].flatten(0, 1), targets[:, k].flatten(), ignore_index=-100)
            for k in range(targets.shape[1])
        ]
    )


def _chosen(rows: int, columns: int, power: float) -> Tensor:
    """Random bool [rows, columns]; of each row a share u ** ``power``, u drawn from [0, 1)."""
    return torch.rand(rows, columns) < torch.rand(rows, 1) ** power


def delayed(codes: Tensor, pad: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets [batch, codebooks, positions] of the delay pattern: s emits frame s - k of codebook k."""
    batch, books, frames = codes.shape
    inputs = torch.full((batch, books, frames + books), pad)
    for k in range(books):
        inputs[:, k, 1 + k : 1 + k + frames] = codes[:, k]
    targets = inputs[:, :, 1:].clone()
    targets[targets == pad] = -100
    return inputs[:, :, :-1], targets


@torch.no_grad()
def assert_causal(model: MusicgenForConditionalGeneration) -> None:
    """Raise AssertionError if a later code changes an earlier hidden state."""
    training, size = model.training, model.config.decoder.vocab_size
    books = model.config.decoder.num_codebooks
    model.eval()
    codes = torch.randint(size, (books, 12))
    changed = codes.clone()
    changed[:, 8:] = (changed[:, 8:] + 1) % size
    past = [model.decoder(input_ids=c, use_cache=False).logits[:, :8] for c in (codes, changed)]
    model.train(training)
    assert torch.allclose(*past, atol=1e-5), "the decoder is not causal"


@torch.no_grad()
def validation_loss(model: MusicgenForConditionalGeneration, cache: Path) -> list[float]:
    """Cross-entropy by codebook on held-out clips."""
    tokenizer = build_tokenizer()
    codes = encoded(cache, model.audio_encoder, VALIDATION, HELD_OUT)
    texts = [caption.text for caption, _ in captions(VALIDATION, HELD_OUT)]
    parts = [
        code_losses(model, tokenizer, texts[i : i + BATCH], codes[i : i + BATCH].long())
        for i in range(0, HELD_OUT, BATCH)
    ]
    return torch.stack(parts).mean(0).tolist()
