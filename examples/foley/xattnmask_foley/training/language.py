"""Stage 3, the language model: a MusicGen decoder on a T5 encoder that is kept, trained on codes of rendered clips."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    EncodecConfig,
    EncodecModel,
    MusicgenConfig,
    MusicgenForConditionalGeneration,
    T5Tokenizer,
)

from ..world import Caption, render, rephrase
from . import codec as codec_stage
from . import text
from .corpus import BABBLE, FRAMES, TRAIN, VALIDATION, captions
from .loop import Loop
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
_CHUNK = 100
_worker_codec: EncodecModel
"""The codec of a worker process that encodes clips."""


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
    """Train, or go on training, and return the model."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    model = build(codec, tokenizer).train()
    text.train(folder / "text", model.text_encoder, tokenizer, text.STEPS)
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
    return model.eval()


def encoded(cache: Path, codec: EncodecModel, split: int, count: int, workers: int = 2) -> Tensor:
    """Codes int16 [count, codebooks, frames] of the first ``count`` clips of a split, kept in ``cache``."""
    if cache.exists() and len(kept := torch.load(cache, weights_only=True)) >= count:
        return kept[:count]
    weights = {name: value.numpy() for name, value in codec.state_dict().items()}
    starts = range(0, count, _CHUNK)
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (codec.config.to_dict(), weights)) as pool:
        parts = list(pool.map(_encode_chunk, repeat(split), starts, (min(_CHUNK, count - start) for start in starts)))
    codes = torch.from_numpy(np.concatenate(parts))
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save(codes, cache)
    return codes


def _start_worker(config: dict[str, Any], weights: dict[str, np.ndarray]) -> None:
    global _worker_codec
    torch.set_num_threads(1)
    _worker_codec = EncodecModel(EncodecConfig(**config)).eval()
    _worker_codec.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})


def _encode_chunk(split: int, start: int, count: int) -> np.ndarray:
    audio = [render(caption, seed) for caption, seed in captions(split, count, start=start)]
    codes = [codec_stage.encode(_worker_codec, clip[None]) for clip in audio]  # one at a time stays in the cache
    print(f"encoded to {start + count}", flush=True)
    return torch.cat(codes).numpy().astype(np.int16)


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
