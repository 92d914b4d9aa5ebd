"""Stage 2, the judge: trained on renders alone, never on what a codec or a model made."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ..judge import JudgeNetwork, clip_logits
from .corpus import TRAIN, audio_pool
from .loop import Loop

POOL = 5000
BATCH = 32
LR = 2e-3


def train(folder: Path, steps: int = 700, seed: int = 1) -> JudgeNetwork:
    """Train, or go on training, and return the network."""
    torch.manual_seed(seed)
    network = JudgeNetwork().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=1e-3)
    loop = Loop(folder, network, optimizer, steps=steps, lr=LR)
    if loop.start < steps:
        audio, active = (torch.from_numpy(array) for array in audio_pool(TRAIN, POOL))
        loop.run(lambda _: _step(network, optimizer, audio, active.float()))
    return network.eval()


def _step(network: JudgeNetwork, optimizer: torch.optim.Optimizer, audio: Tensor, active: Tensor) -> dict[str, float]:
    rows = torch.randint(len(audio), (BATCH,))
    logits = network(_augment(network.features(_disturb(audio[rows]))))
    target = active[rows]
    frames = F.binary_cross_entropy_with_logits(logits, target)
    clip = F.binary_cross_entropy_with_logits(clip_logits(logits), target.amax(1))
    optimizer.zero_grad()
    (frames + clip).backward()
    optimizer.step()
    return {"frames": frames.item(), "clip": clip.item()}


def _disturb(audio: Tensor) -> Tensor:
    """Other levels, and white noise 30 to 60 dB below full scale, as any recording may have."""
    gain = 10 ** (torch.empty(len(audio), 1).uniform_(-6, 4) / 20)
    noise = 10 ** (torch.empty(len(audio), 1).uniform_(-60, -34) / 20)
    return audio * gain + noise * torch.randn_like(audio)


def _augment(features: Tensor) -> Tensor:
    """A random tilt of the spectrum, up to 4 dB at its ends, and some roughness in every bin."""
    tilt = torch.empty(len(features), 1, 1).uniform_(-1, 1) * torch.linspace(-1, 1, features.shape[1])[None, :, None]
    return features + tilt + 0.5 * torch.rand(len(features), 1, 1) * torch.randn_like(features)
