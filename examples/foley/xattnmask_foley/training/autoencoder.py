"""First stage of the diffusion models: a small AutoencoderKL of log-mel spectrograms, which both share."""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from ..world import SOURCES, render
from .corpus import TRAIN, audio_pool, captions
from .loop import Loop
from .spectrogram import BANDS, log_mel

CONFIG = {
    "in_channels": 1,
    "out_channels": 1,
    "latent_channels": 8,
    "block_out_channels": [16, 24, 32, 48],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 1,
    "norm_num_groups": 8,
}
FACTOR = 8
"""How many frames, and how many bands, one latent stands for in a row."""
POOL = 4000
BATCH, CROP = 16, 96
LR = 1.5e-3
DIVERGENCE = 1e-3
"""Weight of the divergence from a normal distribution, by latent: enough that sampling and scaling make sense."""
TOLD = 0.2
"""Weight of the probe that reads off the latents what sounds."""
AUDIBLE = 1e-3
"""Mel magnitude above which a difference counts twice when the decoder goes on alone."""
_CHUNK = 100
_worker_model: AutoencoderKL
"""The autoencoder of a worker process that encodes clips."""


def train(folder: Path, steps: int = 1600, seed: int = 5) -> AutoencoderKL:
    """Train, or go on training, and return the autoencoder, its ``scaling_factor`` set."""
    torch.manual_seed(seed)
    model = AutoencoderKL(**CONFIG).train()
    probe = nn.Linear(CONFIG["latent_channels"] * BANDS // FACTOR, len(SOURCES))
    both = nn.ModuleList([model, probe])
    optimizer = torch.optim.AdamW(both.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=1e-3)
    loop = Loop(folder, both, optimizer, steps=steps, lr=LR)
    if loop.start < steps:
        mels, active = pool(POOL)
        if loop.start == 0:
            start_at_mean(model, mels)
        loop.run(lambda _: _step(model, probe, optimizer, *_crops(mels, active)))
    model.eval().requires_grad_(False)
    factor = folder / "factor.pt"
    if not factor.exists():
        torch.save(1 / _spread(model, pool(min(POOL, 256))[0]), factor)
    model.register_to_config(scaling_factor=float(torch.load(factor, weights_only=True)))
    return model


def refine(folder: Path, model: AutoencoderKL, steps: int = 1500, seed: int = 11) -> AutoencoderKL:
    """Train the decoder alone, or go on training it.

    The latents stay what they are, so a denoiser can be trained on them at the same time.
    """
    torch.manual_seed(seed)
    model.requires_grad_(False)
    decoder = nn.ModuleList([model.post_quant_conv, model.decoder]).train().requires_grad_(True)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=LR / 2, betas=(0.9, 0.98), weight_decay=1e-3)
    loop = Loop(folder, decoder, optimizer, steps=steps, lr=LR / 2)
    if loop.start < steps:
        mels, active = pool(POOL)
        loop.run(lambda _: _refine_step(model, optimizer, _crops(mels, active)[0]))
    return model.eval().requires_grad_(False)


def _refine_step(model: AutoencoderKL, optimizer: torch.optim.Optimizer, mels: Tensor) -> dict[str, float]:
    with torch.no_grad():
        latent = model.encode(mels[:, None]).latent_dist.sample()
    made, floor = model.decode(latent).sample[:, 0], math.log(AUDIBLE)
    missed, heard = F.l1_loss(made, mels), F.l1_loss(made.clamp_min(floor), mels.clamp_min(floor))
    optimizer.zero_grad()
    (missed + heard).backward()
    nn.utils.clip_grad_norm_(model.decoder.parameters(), 1.0)
    optimizer.step()
    return {"missed": missed.item(), "heard": heard.item()}


def pool(count: int) -> tuple[Tensor, Tensor]:
    """Of training clips: log-mels [count, frames, bands], and activity [count, columns of the latents, sources]."""
    audio, active = audio_pool(TRAIN, count)
    mels = torch.cat([log_mel(torch.from_numpy(part)) for part in np.array_split(audio, max(1, count // 100))])
    columns = mels.shape[1] // FACTOR
    return mels, torch.from_numpy(active).unflatten(1, (columns, -1)).any(2).float()


@torch.no_grad()
def start_at_mean(model: AutoencoderKL, mels: Tensor) -> None:
    """Have the untrained decoder make the mean spectrogram, spread as widely as spectrograms are.

    Log-mels are far from the zero mean that networks start from, and the first hundred steps would go into that.
    """
    model.decoder.conv_out.bias.fill_(mels.mean())
    model.decoder.conv_out.weight.mul_(mels.std())


def _step(
    model: AutoencoderKL, probe: nn.Linear, optimizer: torch.optim.Optimizer, mels: Tensor, active: Tensor
) -> dict[str, float]:
    posterior = model.encode(mels[:, None]).latent_dist
    latent = posterior.sample()
    told = F.binary_cross_entropy_with_logits(probe(latent.movedim(2, 1).flatten(2)), active)
    missed = F.l1_loss(model.decode(latent).sample[:, 0], mels)
    divergence = posterior.kl().mean() / latent[0].numel()
    optimizer.zero_grad()
    (missed + DIVERGENCE * divergence + TOLD * told).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {"missed": missed.item(), "divergence": divergence.item(), "told": told.item()}


def _crops(mels: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
    """Random stretches of random clips, cut between columns of the latents."""
    rows = torch.randint(len(mels), (BATCH,)).tolist()
    length = CROP // FACTOR
    starts = torch.randint(active.shape[1] - length + 1, (BATCH,)).tolist()
    places = list(zip(rows, starts, strict=True))
    crops = torch.stack([mels[row, start * FACTOR : start * FACTOR + CROP] for row, start in places])
    return crops, torch.stack([active[row, start : start + length] for row, start in places])


def _spread(model: AutoencoderKL, mels: Tensor) -> Tensor:
    return torch.cat([encode(model, clip[None]) for clip in mels]).std()


@torch.no_grad()
def encode(model: AutoencoderKL, mels: Tensor) -> Tensor:
    """The latents' means, not scaled, [batch, channels, columns, rows] of log-mels [batch, frames, bands]."""
    return model.encode(mels[:, None]).latent_dist.mean


@torch.no_grad()
def decode(model: AutoencoderKL, latents: Tensor) -> Tensor:
    """Log-mels [batch, frames, bands] of latents as :func:`encode` gives them."""
    return model.decode(latents).sample[:, 0]


def encoded(cache: Path, model: AutoencoderKL, split: int, count: int, workers: int = 2) -> Tensor:
    """Latents float16 [count, channels, columns, rows] of the first ``count`` clips of a split, kept in ``cache``.

    Scaled to unit variance, as the denoiser sees them.
    """
    if cache.exists() and len(kept := torch.load(cache, weights_only=True)) >= count:
        return kept[:count]
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    starts = range(0, count, _CHUNK)
    sizes = (min(_CHUNK, count - start) for start in starts)
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (weights,)) as executor:
        parts = list(executor.map(_encode_chunk, repeat(split), starts, sizes))
    latents = torch.from_numpy(np.concatenate(parts) * np.float16(model.config.scaling_factor))
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save(latents, cache)
    return latents


def _start_worker(weights: dict[str, np.ndarray]) -> None:
    global _worker_model
    torch.set_num_threads(1)
    _worker_model = AutoencoderKL(**CONFIG).eval()
    _worker_model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})


def _encode_chunk(split: int, start: int, count: int) -> np.ndarray:
    audio = (torch.from_numpy(render(caption, seed)) for caption, seed in captions(split, count, start=start))
    latents = torch.cat([encode(_worker_model, log_mel(clip[None].float())) for clip in audio])
    print(f"encoded to {start + count}", flush=True)
    found: np.ndarray = latents.numpy().astype(np.float16)
    return found
