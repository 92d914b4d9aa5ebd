"""The diffusion models' CLAP: a RoBERTa and a Swin transformer that learn to give a caption and its clip one vector.

The text encoder learns from captions alone first, to tell from its pooled vector what sounds in which half. Beside each
caption the contrast has the one with its halves swapped, or order would be the last thing learned: most other captions
of a batch name other sources.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    ClapTextModelWithProjection,
    RobertaTokenizer,
)

from ..world import DURATION, SAMPLE_RATE, SOURCES, Caption, rephrase, sample_caption
from ..world.grammar import FORWARD, REVERSE, Unit
from .corpus import BABBLE, TRAIN, clips
from .loop import Loop
from .meaning import FACTS, SIDES, meaning
from .spectrogram import BANDS, HOP, WINDOW
from .tokenizer import build_roberta

WIDTH, SHARED = 96, 64
TEXT_STEPS, STEPS = 2500, 500
TEXT_BATCH, BATCH = 64, 24
POOL = 2500
LR = 1e-3
UNHEARD = 4.0
"""Of each caption a share u ** UNHEARD of the tokens is not attended to, u drawn from [0, 1)."""


def build(tokenizer: RobertaTokenizer) -> ClapModel:
    """A CLAP of the real class with untrained weights."""
    text = ClapTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=2 * WIDTH, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        max_position_embeddings=66, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, projection_dim=SHARED,
    )  # fmt: skip
    audio = ClapAudioConfig(
        spec_size=128, num_mel_bins=BANDS, window_size=8, patch_size=4, patch_stride=(4, 4), depths=[2, 2],
        num_attention_heads=[2, 4], hidden_size=64, patch_embeds_hidden_size=32, projection_dim=SHARED,
        enable_fusion=False, drop_path_rate=0.0, hidden_dropout_prob=0.0, mlp_ratio=2.0, projection_hidden_size=64,
    )  # fmt: skip
    return ClapModel(ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=SHARED))


def feature_extractor() -> ClapFeatureExtractor:
    """What turns audio into the audio encoder's input: the autoencoder's frames, in decibels."""
    return ClapFeatureExtractor(
        feature_size=BANDS, sampling_rate=SAMPLE_RATE, hop_length=HOP, fft_window_size=WINDOW,
        max_length_s=int(DURATION), frequency_min=0, frequency_max=SAMPLE_RATE // 2, truncation="rand_trunc",
        padding="repeatpad",
    )  # fmt: skip


def train(folder: Path, seed: int = 7) -> ClapModel:
    """Train, or go on training, and return the model."""
    torch.manual_seed(seed)
    tokenizer = build_roberta()
    model = build(tokenizer)
    _train_text(folder / "text", model, tokenizer, seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR / 2, betas=(0.9, 0.98), weight_decay=0.02)
    loop = Loop(folder / "both", model.train(), optimizer, steps=STEPS, lr=LR / 2)
    if loop.start < STEPS:
        said, heard = _pool()
        loop.run(lambda i: _step(model, tokenizer, optimizer, said, heard, np.random.default_rng([seed, i])))
    return model.eval().requires_grad_(False)


def text_model(model: ClapModel) -> ClapTextModelWithProjection:
    """The text half alone, as AudioLDM holds it."""
    half = ClapTextModelWithProjection(model.config.text_config)
    half.text_model.load_state_dict(model.text_model.state_dict())
    half.text_projection.load_state_dict(model.text_projection.state_dict())
    return half.eval().requires_grad_(False)


def features(model: ClapModel, tokenizer: RobertaTokenizer, texts: list[str], unheard: float | None = None) -> Tensor:
    """The text's vectors [texts, width], of length 1."""
    said = tokenizer(texts, padding=True, return_tensors="pt")
    attended = said.attention_mask
    if unheard is not None:
        dropped = torch.rand(attended.shape) < torch.rand(len(texts), 1) ** unheard
        dropped[:, 0] = False  # what the vector is read from
        attended = attended * ~dropped
    pooled = model.text_model(input_ids=said.input_ids, attention_mask=attended).pooler_output
    return F.normalize(model.text_projection(pooled), dim=-1)


def _train_text(folder: Path, model: ClapModel, tokenizer: RobertaTokenizer, seed: int) -> None:
    probe = nn.Linear(SHARED, SIDES * len(SOURCES) * FACTS)
    text = nn.ModuleList([model.text_model, model.text_projection, probe]).train()
    optimizer = torch.optim.AdamW(text.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=0.02)
    loop = Loop(folder, text, optimizer, steps=TEXT_STEPS, lr=LR)

    def step(i: int) -> dict[str, float]:
        rng = np.random.default_rng([TRAIN, seed, i])
        said = [sample_caption(rng, babble=BABBLE) for _ in range(TEXT_BATCH)]
        vectors = features(model, tokenizer, [caption.text for caption in said], UNHEARD)
        logits = probe(vectors * SHARED**0.5)
        loss = F.binary_cross_entropy_with_logits(logits, meaning(said).flatten(1))
        optimizer.zero_grad()
        (100 * loss).backward()
        nn.utils.clip_grad_norm_(text.parameters(), 1.0)
        optimizer.step()
        return {"told": 100 * loss.item()}

    loop.run(step)


def _pool() -> tuple[list[Caption], Tensor]:
    """Captions of training clips and the audio encoder's input of each, [clips, 1, frames, bands]."""
    extract, said, heard = feature_extractor(), [], []
    for clip in clips(TRAIN, POOL):
        found = extract(clip.audio, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        said.append(clip.caption)
        heard.append(found.input_features[0])
    return said, torch.stack(heard)


def _step(
    model: ClapModel, tokenizer: RobertaTokenizer, optimizer: torch.optim.Optimizer, said: list[Caption],
    heard: Tensor, rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    rows = rng.integers(len(said), size=BATCH)
    chosen = [rephrase(said[row], rng, babble=BABBLE) for row in rows]
    texts = [caption.text for caption in chosen] + [turned(caption) for caption in chosen]
    written = features(model, tokenizer, texts, UNHEARD)
    sound = model.audio_model(input_features=heard[torch.from_numpy(rows)]).pooler_output
    sounding = F.normalize(model.audio_projection(sound), dim=-1)
    logits = sounding @ written.T * model.logit_scale_a.exp()
    right = torch.arange(BATCH)
    loss = (F.cross_entropy(logits, right) + F.cross_entropy(logits[:, :BATCH].T, right)) / 2
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {"contrast": loss.item(), "right": (logits.argmax(1) == right).float().mean().item()}


def turned(caption: Caption) -> str:
    """The text with its order turned round; or, where it has none, with silence for its sources."""
    return " ".join(_turned(unit, caption.arrangement) for unit in caption.units)


def _turned(unit: Unit, arrangement: str | None) -> str:
    other = {FORWARD: "after", REVERSE: "then"}
    if arrangement not in other:
        return "silence" if unit.kind == "noun" else unit.text
    return other[arrangement] if unit.kind == "connector" else unit.text
