"""The diffusion models' card: held-out numbers of the autoencoder with the vocoder, and of both pipelines."""

from __future__ import annotations

import numpy as np
import torch

import xattnmask as xm

from ..judge import FoleyJudge
from . import autoencoder
from .card import CARD, KINDS, MEANING, hear_clips, hear_generations, machine, megabytes, rows
from .spectrogram import log_mel

DIFFUSION_CARD = CARD.with_name("DIFFUSION_CARD.md")
NAMES = ("foley-audioldm2", "foley-audioldm")
STEPS = 50
"""Denoising steps of what is generated."""


def write(clips_each: int = 200, generated: int = 200) -> None:
    """Measure everything and write the card."""
    judge, models = FoleyJudge.load(), {name: xm.load(name) for name in NAMES}
    backbone = models[NAMES[0]].backbone

    @torch.no_grad()
    def through_latents(audio: np.ndarray) -> np.ndarray:
        latents = autoencoder.encode(backbone["vae"], log_mel(torch.from_numpy(audio)[None].float()))
        found: np.ndarray = backbone["vocoder"](autoencoder.decode(backbone["vae"], latents))[0].numpy()
        return found

    coded = {kind: hear_clips(judge, kind, clips_each, through_latents) for kind in KINDS}
    lines = [*_HEAD, *rows("rendered, through autoencoder and vocoder", coded)]
    for name, model in models.items():
        heard = hear_generations(judge, model, generated, steps=STEPS)
        lines += rows(f"{name}, {STEPS} steps, guidance 3", heard)
    size = f"Size of the weights: {megabytes(*NAMES):.1f} MB."
    DIFFUSION_CARD.write_text("\n".join([*lines, "", size, "", machine("torch", "diffusers", "transformers"), ""]))
    print(DIFFUSION_CARD.read_text())


_HEAD = (
    "# Model card: foley-audioldm2 and foley-audioldm",
    "",
    "Small pipelines of diffusers' real classes, trained from nothing on the foley world by the stages autoencoder,",
    "vocoder, clap, audioldm2 and audioldm of `python -m xattnmask_foley.training`; its stage `diffusion-card` prints",
    "the numbers below, on seeds that training never drew.",
    "",
    *MEANING,
)
