"""A start for a HiFi-GAN vocoder: a bank of oscillators, each as loud as its mel band.

From a start of small random weights, and without adversaries, a small HiFi-GAN finds noise and low tones in some
thousand steps and high tones not in 7,500: a tone is a pattern over many channels and samples, and a little of it, at
the wrong phase, is no better than silence. Set up by hand, all tones are there at the first step, at the frequencies
that frames allow, and training has the levels and the noise left to find.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from transformers import SpeechT5HifiGan

from ..world import SAMPLE_RATE
from .spectrogram import HOP, WINDOW, filters

KEPT = 0.3
"""How much of the random start stays beside the oscillators."""
SIGNS = 4
"""Channels of one carrier: cosine and sine, each with its opposite, of which the leaky ReLU lets one through."""
LOWEST, HIGHEST = 60.0, 7700.0
"""Hertz of the lowest and the highest oscillator."""


@torch.no_grad()
def start(model: SpeechT5HifiGan) -> None:
    """Set the weights of a vocoder that samples up twice, and upwards of its frames by ``HOP`` in all.

    The first layer takes one mel band for each oscillator. The first upsampling turns its level into the phases of a
    carrier that is near its frequency, and the second is the carriers' waves, windowed: as in a short-time Fourier
    transform, a carrier whose phase turns faster than its own is a tone above it.
    """
    slow, fast = model.upsampler
    for layer in (model.conv_pre, slow, fast, model.conv_post):
        layer.weight.mul_(KEPT)
        layer.bias.zero_()
    for block in model.resblocks:
        for convolution in block.convs2:
            convolution.weight.mul_(KEPT)
            convolution.bias.zero_()
    count = min(slow.out_channels // SIGNS, fast.out_channels // 2)
    carriers = (torch.arange(count) + 0.5) * SAMPLE_RATE / 2 / count
    tones = frequencies(slow.in_channels)
    peaks = filters().argmax(0) * SAMPLE_RATE / WINDOW
    model.conv_pre.weight[torch.arange(len(tones)), _nearest(tones, peaks), model.conv_pre.kernel_size[0] // 2] += 1
    for tone, (hertz, carrier) in enumerate(zip(tones.tolist(), _nearest(tones, carriers).tolist(), strict=True)):
        waves = _waves(hertz, slow, every=fast.stride[0])
        slow.weight[tone, SIGNS * carrier : SIGNS * (carrier + 1)] += waves
    for number, hertz in enumerate(carriers.tolist()):
        waves = _waves(hertz, fast, every=1) * torch.tensor([1, 1, -1, -1])[:, None]
        fast.weight[SIGNS * number : SIGNS * (number + 1), 2 * number] += waves
        fast.weight[SIGNS * number : SIGNS * (number + 1), 2 * number + 1] -= waves
    middle = model.conv_post.kernel_size[0] // 2
    model.conv_post.weight[0, 0 : 2 * count : 2, middle] += 1
    model.conv_post.weight[0, 1 : 2 * count : 2, middle] -= 1


@torch.no_grad()
def calibrate(model: SpeechT5HifiGan, mels: Tensor, audio: Tensor) -> None:
    """Scale the last layer so that what is made of ``mels`` is as loud as ``audio``."""
    model.conv_post.weight.mul_(1e-3)  # far from where the last tanh bends
    model.conv_post.weight.mul_(audio.std() / model(mels).std())


def frequencies(count: int) -> Tensor:
    """Hertz of the oscillators, spaced as mel bands are. A frame's wave fits the next one's: multiples of its rate."""
    rate = SAMPLE_RATE / HOP
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (LOWEST, HIGHEST))
    found = 700 * (10 ** (torch.linspace(low, high, count) / 2595) - 1)
    multiples = (found / rate).round()
    for i in range(1, count):  # no two on one
        multiples[i] = multiples[i].maximum(multiples[i - 1] + 1)
    return multiples * rate


def _waves(hertz: float, layer: nn.ConvTranspose1d, every: int) -> Tensor:
    """Cosine, its opposite, sine, its opposite under a Hann window: [SIGNS, taps]; a tap is ``every`` samples long."""
    taps = torch.arange(layer.kernel_size[0])
    window = torch.sin(math.pi * (taps + 0.5) / len(taps)) ** 2
    phase = 2 * math.pi * hertz * every / SAMPLE_RATE * (taps - (len(taps) - 1) / 2)
    cosine, sine = window * torch.cos(phase), window * torch.sin(phase)
    return torch.stack([cosine, -cosine, sine, -sine])


def _nearest(values: Tensor, to: Tensor) -> Tensor:
    return (values[:, None] - to).abs().argmin(1)
