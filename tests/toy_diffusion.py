"""A toy diffusion model of a few lines, which predicts noise, and its adapter: for the conformance kit's own tests."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from xattnmask import CheckpointError, Denoised, DiffusionAdapter, Generation, SettingError, Site

from .toy_plugin import HOP, RATE, WIDTH, Attention, Layer, Toy


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(97, WIDTH)
        self.level = nn.Linear(1, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(2))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, latents, levels, text):
        x = latents + self.level(levels[:, None, None])
        for layer in self.layers:
            x = layer(x, text)
        return self.out(x)


def places(queries):
    return (np.arange(queries) + 0.5) / queries


class ToyDiffusion(DiffusionAdapter):
    key, library = "toy-diffusion", "torch"
    max_tokens, max_duration = 9, 2.0

    def __init__(self, device="cpu", dtype="float32"):
        self.checkpoint, self.guided = "toy-diffusion", False
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.backbone = Denoiser().eval().to(device, getattr(torch, dtype))

    @classmethod
    def from_checkpoint(cls, checkpoint, *, device="cpu", dtype="float32"):
        if checkpoint != "toy-diffusion":
            raise CheckpointError(f"{checkpoint}: no toy")
        return cls(device, dtype)

    tokenize = Toy.tokenize

    def sites(self, num_tokens):
        return [Site(f"layers.{i}.cross", i, "cross", places=places) for i in range(2)]

    def conditional_rows(self, batch):
        return slice(batch // 2, batch) if self.guided else slice(0, batch)

    def text(self, tokens, rows=1):
        ids = torch.tensor([[t.id for t in tokens]], device=self.backbone.out.weight.device)
        return self.backbone.words(ids).expand(rows, -1, -1)

    @torch.no_grad()
    def _generate(self, prompt, tokens, *, seed, duration, guidance, steps=3, **settings):
        if settings:
            raise SettingError(f"the toy has no setting {', '.join(settings)}")
        frames, text, kept = max(round(duration * RATE / HOP), 1), self.text(tokens), []
        latents = torch.randn(1, frames, WIDTH, generator=torch.Generator().manual_seed(seed)).to(text)
        angles = torch.linspace(math.pi / 2, 0.1, steps + 1).to(text)
        try:
            for step in range(steps):
                self.step, self.guided = step, False
                text = self.text(tokens) if self.encodes_anew else text
                self.guided = True
                kept.append(latents)
                null, given = self.run(latents.repeat(2, 1, 1), angles[step].repeat(2),
                                       torch.cat([torch.zeros_like(text), text]))
                noise = null + guidance * (given - null)
                clean = (latents - angles[step].sin() * noise) / angles[step].cos().clamp_min(0.1)
                latents = angles[step + 1].cos() * clean + angles[step + 1].sin() * noise
        finally:
            self.step, self.guided = 0, False
        audio = torch.tanh(latents[0].repeat(1, HOP // WIDTH)).flatten().float().cpu().numpy()
        return Generation(
            prompt=prompt, audio=audio, sample_rate=RATE, tokens=tokens, seed=seed, model=self.key,
            settings={"duration": duration, "guidance": guidance, "steps": steps}, checkpoint=self.checkpoint,
            times=np.arange(frames + 1) * HOP / RATE, positions=np.arange(frames)[:, None],
            noise_levels=angles[:-1].sin().double().cpu().numpy(),
            replay={"latents": torch.cat(kept), "angles": angles[:-1]},
        )

    def run(self, latents, angles, text):
        return self.backbone(latents, angles, text)

    def denoise(self, generation, steps, batch=1, *, text=True):
        chosen = list(steps)
        words = self.text(generation.tokens, batch * len(chosen))
        latents, angles = (generation.replay[kept][chosen].to(words) for kept in ("latents", "angles"))
        words = words if text else torch.zeros_like(words)
        found = self.run(latents.repeat(batch, 1, 1), angles.repeat(batch), words)
        return Denoised(latents, found.unflatten(0, (batch, len(chosen))), angles.cos(), angles.sin(), "noise")


class ToyApart(ToyDiffusion):
    """With a text encoder, and for stretches of the audio texts of their own."""

    encodes_apart = True

    def __init__(self, device="cpu", dtype="float32"):
        super().__init__(device, dtype)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.backbone.encoder = Attention().eval().to(device, getattr(torch, dtype))

    def sites(self, num_tokens):
        return [*super().sites(num_tokens), Site("encoder", 0, "text-encoder")]

    def text(self, tokens, rows=1):
        words = super().text(tokens, rows * self.texts)
        return (words + 3 * self.backbone.encoder(words)).reshape(rows, -1, WIDTH)
