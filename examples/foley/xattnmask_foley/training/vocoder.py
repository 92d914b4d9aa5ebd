"""Second stage of the diffusion models: a small HiFi-GAN that makes sound of log-mel spectrograms, without adversaries.

It starts as a bank of oscillators, and learns on spectrograms as they are and as the autoencoder gives them back, so
that it is used to the latter.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from ..world import SAMPLE_RATE
from . import autoencoder as autoencoder_stage
from . import oscillators
from .codec import magnitude, spectral_loss
from .corpus import TRAIN, audio_pool
from .loop import Loop
from .spectrogram import BANDS, HOP, log_mel

CONFIG = {
    "model_in_dim": BANDS,
    "sampling_rate": SAMPLE_RATE,
    "upsample_initial_channel": 96,
    "upsample_rates": [10, 32],
    "upsample_kernel_sizes": [20, 64],
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3], [1, 3]],
    "normalize_before": True,
}
POOL = 3000
BATCH, CROP = 4, 32
EDGE = 2
"""Frames at the ends of a crop that its surroundings would have changed."""
LR = 1e-3
AVERAGED = 0.999
"""What is kept is a running average of the weights, which a step moves by the rest."""
HEARD_AGAIN = 3.0
"""Weight of how far the sound's mel spectrograms are from those of what was wanted; the waves themselves, whose phases
a spectrogram does not tell, can never agree."""
AT_LEVEL = 2.0
"""Weight of how far its magnitudes are, relative to all there is: what is loudest counts most, and is made too faint
without it."""
AUDIBLE = 3e-4
"""Mel magnitude below which a difference does not count."""
# A mel spectrogram does not tell the pitch of a tone finer than its bands, and a tone that is not where it was is wrong
# in every bin of a long window: there, noise and silence are better, and that is what was learned.
_WINDOWS = (64, 128, 256)
_LEVEL_VIEWS = ((128, 32), (256, 64))
_MEL_VIEWS = ((256, 64), (512, 128), (1024, 256))
"""Windows, and hops, of the spectrograms that are compared, the last of them in mel bands."""


def untrained() -> SpeechT5HifiGan:
    """A vocoder of the real class with untrained weights."""
    return SpeechT5HifiGan(SpeechT5HifiGanConfig(**CONFIG))


def train(folder: Path, autoencoder: AutoencoderKL, steps: int = 9000, seed: int = 6) -> SpeechT5HifiGan:
    """Train, or go on training, and return the vocoder."""
    torch.manual_seed(seed)
    model = untrained().train()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGED))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.8, 0.99))
    loop = Loop(folder, nn.ModuleList([model, average]), optimizer, steps=steps, lr=LR)
    if loop.start < steps:
        audio, mels, again = _pool(autoencoder)
        if loop.start == 0:
            model.mean.copy_(mels.mean((0, 1)))
            model.scale.copy_(mels.std((0, 1)))
            oscillators.start(model)
            oscillators.calibrate(model, mels[:8], audio[:8])
            average.module.load_state_dict(model.state_dict())

        def step(_: int) -> dict[str, float]:
            found = _step(model, optimizer, audio, mels, again)
            average.update_parameters(model)
            return found

        loop.run(step)
    return average.module.eval().requires_grad_(False)


def mel_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean difference of log-mel spectrograms of several windows, in nats, of audio [batch, samples]."""
    both = [[log_mel(x, window=w, hop=h, floor=AUDIBLE) for x in (made, wanted)] for w, h in _MEL_VIEWS]
    return torch.stack([F.l1_loss(*pair) for pair in both]).mean()


def level_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean distance of magnitude spectrograms of several windows, relative to ``wanted``, of [batch, samples]."""
    found = []
    for window, hop in _LEVEL_VIEWS:
        a, b = (magnitude(audio, window, hop) for audio in (made, wanted))
        found.append(((a - b).norm(dim=(1, 2)) / (b.norm(dim=(1, 2)) + 1e-3)).mean())
    return torch.stack(found).mean()


def _pool(autoencoder: AutoencoderKL) -> tuple[Tensor, Tensor, Tensor]:
    """Audio [clips, samples], its log-mels [clips, frames, bands], and these through the autoencoder."""
    audio = torch.from_numpy(audio_pool(TRAIN, POOL)[0])
    mels = torch.cat([log_mel(part) for part in audio.split(100)])
    stage = autoencoder_stage
    again = torch.cat([stage.decode(autoencoder, stage.encode(autoencoder, clip[None])) for clip in mels])
    return audio, mels, again


def _step(
    model: SpeechT5HifiGan, optimizer: torch.optim.Optimizer, audio: Tensor, mels: Tensor, again: Tensor
) -> dict[str, float]:
    rows = torch.randint(len(audio), (BATCH,)).tolist()
    starts = torch.randint(mels.shape[1] - CROP + 1, (BATCH,)).tolist()
    seen = [mels if index % 2 else again for index in range(BATCH)]
    places = list(zip(seen, rows, starts, strict=True))
    given = torch.stack([source[row, start : start + CROP] for source, row, start in places])
    wanted = torch.stack([audio[row, start * HOP : (start + CROP) * HOP] for _, row, start in places])
    inner = slice(EDGE * HOP, -EDGE * HOP)
    made, wanted = model(given)[:, inner], wanted[:, inner]
    spectral = spectral_loss(made[:, None], wanted[:, None], _WINDOWS)
    heard, level = mel_loss(made, wanted), level_loss(made, wanted)
    optimizer.zero_grad()
    (spectral + HEARD_AGAIN * heard + AT_LEVEL * level).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {"spectral": spectral.item(), "heard": heard.item(), "level": level.item()}
