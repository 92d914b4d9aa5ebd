"""A generation: audio, and all that is needed to replay it exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .text import Token, Word, words_of


@dataclass(frozen=True)
class Generation:
    """What a model made from a prompt.

    Attributes:
        prompt: the text.
        audio: float32 [samples], or [channels, samples].
        sample_rate: samples a second.
        tokens: the prompt's tokens, in the order of the text keys.
        seed: the seed that repeats it.
        settings: the arguments of ``generate`` besides prompt and seed (duration, guidance, ...), JSON-able.
        model: the adapter's key.
        checkpoint: the named checkpoint, folder or hub id it came from.
        times: float64 [frames + 1], edges of the audio frames in seconds.
        positions: int [frames, k], the sequence positions whose hidden states emit each frame
            (k codebooks under a delay pattern; 1 otherwise). For a diffusion model, the latents' columns.
        noise_levels: for a diffusion model, float64 [steps]: the share of noise in what the denoiser was given at each
            call, sigma / sqrt(alpha^2 + sigma^2), from 1 (all noise) to 0; None for an autoregressive model.
        replay: tensors by name, private to the adapter that made it (codes, latents, noise).
        encoded: the model did not make it, but took it in (:meth:`Adapter.encode`): no seed repeats it.
    """

    prompt: str
    audio: np.ndarray
    sample_rate: int
    tokens: tuple[Token, ...]
    seed: int
    settings: Mapping[str, Any]
    model: str
    checkpoint: str
    times: np.ndarray
    positions: np.ndarray
    noise_levels: np.ndarray | None = None
    replay: Mapping[str, Any] = field(default_factory=dict, repr=False)
    encoded: bool = False

    @property
    def words(self) -> tuple[Word, ...]:
        """The prompt's words with the indices of their tokens."""
        return words_of(self.prompt, self.tokens)

    @property
    def duration(self) -> float:
        """Length of the audio in seconds."""
        return float(self.audio.shape[-1] / self.sample_rate)

    def _repr_html_(self) -> str:
        from .html import sound_html

        made = "taken in" if self.encoded else f"seed {self.seed}"
        return sound_html(self.prompt, self.audio, self.sample_rate, f"{self.checkpoint}, {made}")
