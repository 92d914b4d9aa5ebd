"""Stages 1 and 4, the codec: a small EnCodec at 25 frames a second, and then its decoder alone.

transformers' EnCodec only quantizes for inference, so this stage passes gradients straight through the
quantizer, starts its codebooks from data and moves them by running averages (Défossez et al., 2022, 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import EncodecConfig, EncodecModel
from transformers.audio_utils import mel_filter_bank

from ..world import SAMPLE_RATE, SOURCES
from ..world.grammar import FORWARD, REVERSE, TOGETHER
from .corpus import TRAIN, audio_pool, captions, shares
from .loop import Loop

CONFIG = {
    "sampling_rate": SAMPLE_RATE,
    "audio_channels": 1,
    "num_filters": 16,
    "hidden_size": 64,
    "codebook_dim": 64,
    "upsampling_ratios": [8, 5, 4, 4],
    "codebook_size": 512,
    "target_bandwidths": [0.9],
    "num_lstm_layers": 1,
    "normalize": False,
    "chunk_length_s": None,
    "use_causal_conv": False,
}
BATCH, CROP = 12, 24 * 640
POOL = 4000
LR = 1e-3
QUANTIZE_FROM = 800
"""Steps without quantization, so that the codebooks start from an encoder that means something."""
AGAIN_FROM = 2400
"""Steps until the decoder can make what the encoder knows again; from then on it is asked to."""
MIX = {None: 0.1, FORWARD: 0.17, REVERSE: 0.08, TOGETHER: 0.65}
"""How often a clip of each arrangement is drawn; of what sounds together, something is lost first."""
TELL_FIRST, TELL_ALL = 2.0, 6.0
"""Weights of how well the first codebook, and all, tell what sounds."""
_WINDOWS = (128, 512, 2048)
FINE_WINDOWS = (128, 256, 512, 1024, 2048)
_FLOOR = 6e-4
"""Magnitude (-64 dB) under which a bin counts as silent."""
_MEL_BANDS, _MEL_STEPS = 40, 4


def train(folder: Path, steps: int = 3300, seed: int = 0) -> EncodecModel:
    """Train, or go on training, and return the codec."""
    torch.manual_seed(seed)
    model = EncodecModel(EncodecConfig(**CONFIG)).train()
    width = model.config.hidden_size
    quantizer, mel, sources = TrainedQuantizer(model), MelProbe(width), SourceProbe(width)
    everything = torch.nn.ModuleList([model, mel, sources])
    optimizer = torch.optim.AdamW(everything.parameters(), lr=LR, betas=(0.8, 0.99))
    loop = Loop(folder, everything, optimizer, steps=steps, lr=LR)
    if loop.start < steps:
        audio, active = (torch.from_numpy(array) for array in audio_pool(TRAIN, POOL))
        often = _often(POOL)
        if loop.start == 0:
            equalize(model, _crops(audio, active, often)[0])
        loop.run(lambda i: _step(i, model, quantizer, mel, sources, optimizer, *_crops(audio, active, often)))
    return model.eval()


def refine(folder: Path, model: EncodecModel, codes: Tensor, steps: int = 5000, seed: int = 3) -> EncodecModel:
    """Train the decoder alone, or go on training it, on ``codes`` [clips, codebooks, frames] of the training clips.

    The codes stay what they are, so a language model can be trained on them at the same time.
    """
    torch.manual_seed(seed)
    model.requires_grad_(False)
    decoder = model.decoder.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=LR, betas=(0.8, 0.99))
    loop = Loop(folder, decoder, optimizer, steps=steps, lr=LR)
    if loop.start < steps:
        pool = torch.from_numpy(audio_pool(TRAIN, min(POOL, len(codes)))[0])
        often = _often(len(pool))
        loop.run(lambda _: _refine_step(model, optimizer, pool, codes, often))
    return model.eval()


def _refine_step(
    model: EncodecModel, optimizer: torch.optim.Optimizer, pool: Tensor, codes: Tensor, often: Tensor
) -> dict[str, float]:
    hop = model.config.hop_length
    length = CROP // hop
    rows = torch.multinomial(often, BATCH, replacement=True).tolist()
    starts = torch.randint(codes.shape[-1] - length + 1, (BATCH,)).tolist()
    places = list(zip(rows, starts, strict=True))
    chosen = torch.stack([codes[row, :, start : start + length] for row, start in places])
    audio = torch.stack([pool[row, start * hop : start * hop + CROP] for row, start in places])
    with torch.no_grad():
        latent = model.quantizer.decode(chosen.long().transpose(0, 1))
    made = model.decoder(latent)
    spectral, again = spectral_loss(made, audio[:, None], FINE_WINDOWS), _heard_again(model, made, latent)
    optimizer.zero_grad()
    (spectral + again).backward()
    torch.nn.utils.clip_grad_norm_(model.decoder.parameters(), 1.0)
    optimizer.step()
    return {"spectral": spectral.item(), "again": again.item()}


def _heard_again(model: EncodecModel, made: Tensor, latent: Tensor) -> Tensor:
    """How far the encoder, listening to what the decoder made, is from the latents it was made from.

    The encoder has learned what tells the sources apart, so this asks the decoder to make them audible. The frames
    next to the edges are left out: they were encoded with their neighbours.
    """
    inner = slice(2, -2)
    wanted = latent[..., inner]
    return F.mse_loss(model.encoder(made)[..., inner], wanted) / wanted.var()


@torch.no_grad()
def equalize(model: EncodecModel, audio: Tensor) -> None:
    """Scale each convolution so that its output has unit variance on ``audio`` [batch, 1, samples] (0.1 at the end).

    As initialized, the signal fades on its way to the latents, and training starts some hundred steps late.
    """
    convolutions = [
        m
        for part in (model.encoder, model.decoder)
        for m in part.modules()
        if isinstance(m, torch.nn.Conv1d | torch.nn.ConvTranspose1d)
    ]
    for convolution in convolutions:
        wanted = 0.1 if convolution is convolutions[-1] else 1.0
        outputs: list[Tensor] = []
        handle = convolution.register_forward_hook(lambda _, __, output, outputs=outputs: outputs.append(output))
        model.decoder(model.encoder(audio))
        handle.remove()
        convolution.parametrizations.weight.original0.mul_(wanted / outputs[0].std((0, 2)).mean().clamp_min(1e-6))
        convolution.bias.zero_()


def _step(
    i: int,
    model: EncodecModel,
    quantizer: TrainedQuantizer,
    mel: MelProbe,
    sources: SourceProbe,
    optimizer: torch.optim.Optimizer,
    audio: Tensor,
    active: Tensor,
) -> dict[str, float]:
    latent = model.encoder(audio)
    if i == QUANTIZE_FROM:
        quantizer.start(latent.detach())
    if i >= QUANTIZE_FROM:
        first, quantized, commitment = quantizer(latent)
    else:
        first, quantized, commitment = latent, latent, latent.new_zeros(())
    made = model.decoder(quantized)
    terms = {
        "spectral": spectral_loss(made, audio, FINE_WINDOWS if i >= AGAIN_FROM else _WINDOWS),
        "mel": mel(quantized, audio),
        "sources": sources(first, quantized, active),
        "commitment": commitment,
    }
    loss = terms["spectral"] + terms["mel"] + terms["sources"] + 0.25 * commitment + 1e-3 * latent.square().mean()
    optimizer.zero_grad()
    if i >= AGAIN_FROM:
        terms["again"] = _heard_again(model, made, quantized.detach())
        decoder = list(model.decoder.parameters())
        for weight, slope in zip(decoder, torch.autograd.grad(terms["again"], decoder, retain_graph=True), strict=True):
            weight.grad = slope  # of the decoder alone: the encoder would learn to hear whatever is made
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {name: term.item() for name, term in terms.items()} | {"width": latent.detach().std().item()}


def _often(count: int) -> Tensor:
    """How often each of the first ``count`` training clips is drawn."""
    return torch.from_numpy(shares([caption for caption, _ in captions(TRAIN, count)], MIX))


def _crops(audio: Tensor, active: Tensor, often: Tensor) -> tuple[Tensor, Tensor]:
    """Random stretches of the pool: audio [batch, 1, samples] at other levels, activity [batch, frames, sources]."""
    hop = audio.shape[1] // active.shape[1]
    length = CROP // hop
    rows = torch.multinomial(often, BATCH, replacement=True).tolist()
    starts = torch.randint(active.shape[1] - length + 1, (BATCH,)).tolist()
    places = list(zip(rows, starts, strict=True))
    crops = torch.stack([audio[row, start * hop : start * hop + CROP] for row, start in places])
    levels = 0.6 + 0.8 * torch.rand(BATCH, 1, 1)
    return crops[:, None] * levels, torch.stack([active[row, start : start + length] for row, start in places])


def spectral_loss(made: Tensor, wanted: Tensor, windows: Sequence[int] = _WINDOWS) -> Tensor:
    """Difference of magnitude spectrograms at several window lengths, of [batch, 1, samples].

    In log, the bins that sound and those that are silent count the same, however many there are, and silent ones only
    where something is made. With a plain mean over all bins a codec falls silent and never comes back: most are silent.
    """
    total = made.new_zeros(())
    for window in windows:
        a, b = (magnitude(x[:, 0], window) for x in (made, wanted))
        log_a, log_b, sounding = torch.log(a + 1e-6), torch.log(b + 1e-6), b > _FLOOR
        missed = _mean_where(sounding, (log_a - log_b).abs())
        added = _mean_where(~sounding, torch.relu(log_a - math.log(_FLOOR)))
        linear = (a - b).norm(dim=(1, 2)) / (b.norm(dim=(1, 2)) + 0.1)
        total = total + missed + added + linear.mean()
    return total / len(windows)


def _mean_where(where: Tensor, values: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp_min(1)


class MelProbe(torch.nn.Module):
    """Reads log-mel frames off the latents by one linear map; its error teaches the encoder what to keep.

    Used in training alone: it reaches the encoder past the decoder, which has learned nothing at first.
    """

    def __init__(self, width: int):
        super().__init__()
        mel = mel_filter_bank(257, _MEL_BANDS, 0, SAMPLE_RATE / 2, SAMPLE_RATE, norm=None, mel_scale="slaney")
        self.register_buffer("mel", torch.tensor(mel, dtype=torch.float32), persistent=False)
        self.map = torch.nn.Linear(width, _MEL_BANDS * _MEL_STEPS)

    def forward(self, latent: Tensor, audio: Tensor) -> Tensor:
        """Squared error of the read frames, as a share of their variance."""
        hop = audio.shape[-1] // latent.shape[-1] // _MEL_STEPS
        spectrum = magnitude(audio[:, 0], 512, hop)[..., :-1]
        frames = torch.log(self.mel.T @ spectrum**2 + 1e-6)
        wanted = frames.unflatten(-1, (-1, _MEL_STEPS)).permute(0, 2, 1, 3).flatten(2) / 4 + 1.5
        return F.mse_loss(self.map(latent.transpose(1, 2)), wanted) / wanted.var()


class SourceProbe(torch.nn.Module):
    """Reads off the latents which sources sound, by linear maps; its error teaches the codes to tell them apart.

    The first codebook has to tell by itself, as Mimi's has to tell what is said (Défossez et al., 2024, 3.3.1): what a
    language model gets wrong in the others is then how something sounds, not what.
    """

    def __init__(self, width: int):
        super().__init__()
        self.first, self.all = (torch.nn.Linear(width, len(SOURCES)) for _ in range(2))

    def forward(self, first: Tensor, quantized: Tensor, active: Tensor) -> Tensor:
        """Cross-entropy of ``active`` [batch, frames, sources], from the first codebook's latents and from all's."""
        asked = ((TELL_FIRST, self.first, first), (TELL_ALL, self.all, quantized))
        wanted = active.to(first.dtype)
        return torch.stack(
            [
                weight * F.binary_cross_entropy_with_logits(read(latent.transpose(1, 2)), wanted)
                for weight, read, latent in asked
            ]
        ).sum()


def magnitude(audio: Tensor, window: int, hop: int | None = None) -> Tensor:
    """Magnitudes [batch, frequencies, frames] of audio [batch, samples]; a sine's highest is its amplitude."""
    hann = torch.hann_window(window)
    spectrum = torch.stft(audio, window, hop or window // 4, window=hann, return_complex=True)
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-12) / (hann.sum() / 2)


class TrainedQuantizer:
    """Trains the residual quantizer of an EncodecModel in place."""

    decay = 0.98

    def __init__(self, model: EncodecModel):
        self.codebooks = [layer.codebook for layer in model.quantizer.layers]

    def __call__(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize [batch, width, frames] by the first codebook and by all, and the commitment loss.

        The gradient passes straight through.
        """
        flat = latent.transpose(1, 2).reshape(-1, latent.shape[1])
        residual, total = flat.detach(), torch.zeros_like(flat)
        totals: list[Tensor] = []
        for codebook in self.codebooks:
            indices = codebook.quantize(residual)
            chosen = codebook.embed[indices]
            self._move(codebook, residual, indices)
            residual, total = residual - chosen, total + chosen
            totals.append(total)
        commitment = F.mse_loss(flat, total) / flat.detach().var()
        first, quantized = (totals[k].view_as(latent.transpose(1, 2)).transpose(1, 2) for k in (0, -1))
        return latent + (first - latent).detach(), latent + (quantized - latent).detach(), commitment

    def start(self, latent: Tensor) -> None:
        """Start each codebook from k-means on what the ones before leave of [batch, width, frames]."""
        residual = latent.transpose(1, 2).reshape(-1, latent.shape[1])
        for codebook in self.codebooks:
            centres = _k_means(residual, codebook.codebook_size)
            codebook.embed.copy_(centres)
            codebook.embed_avg.copy_(centres)
            codebook.cluster_size.fill_(1.0)
            residual = residual - centres[codebook.quantize(residual)]

    def _move(self, codebook: torch.nn.Module, vectors: Tensor, indices: Tensor) -> None:
        counts = torch.bincount(indices, minlength=codebook.codebook_size).to(vectors.dtype)
        sums = torch.zeros_like(codebook.embed).index_add_(0, indices, vectors)
        codebook.cluster_size.lerp_(counts, 1 - self.decay)
        codebook.embed_avg.lerp_(sums, 1 - self.decay)
        codebook.embed.copy_(codebook.embed_avg / codebook.cluster_size.clamp_min(1e-3)[:, None])
        dead = codebook.cluster_size < 0.03
        if dead.any():
            fresh = vectors[torch.randint(len(vectors), (int(dead.sum()),))]
            codebook.embed[dead] = fresh
            codebook.embed_avg[dead] = fresh
            codebook.cluster_size[dead] = 1.0


def _k_means(vectors: Tensor, k: int, rounds: int = 10) -> Tensor:
    centres = vectors[torch.randint(len(vectors), (k,))].clone()
    for _ in range(rounds):
        nearest = torch.cdist(vectors, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, vectors)
        counts = torch.bincount(nearest, minlength=k)[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp_min(1), centres)
    return centres


@torch.no_grad()
def encode(model: EncodecModel, audio: np.ndarray) -> Tensor:
    """Codes int64 [batch, codebooks, frames] of audio [batch, samples]."""
    return model.encode(torch.from_numpy(audio)[:, None]).audio_codes[0]


@torch.no_grad()
def decode(model: EncodecModel, codes: Tensor) -> np.ndarray:
    """Audio float32 [batch, samples] of codes [batch, codebooks, frames]."""
    return model.decode(codes[None], audio_scales=[None]).audio_values[:, 0].numpy()
