"""Where a learned mask starts: at what each word does by itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..objective import Similarity

PIVOT: Mapping[Similarity, float] = {"cosine": 0.003, "error": 0.02}
"""What share of the largest effect is in the middle of the mask."""
SPREAD: Mapping[Similarity, float] = {"cosine": 1.5, "error": 4.0}
"""How steep a logit is in an effect's logarithm. Relative errors lie closer together than angles do, and a text encoder
forgets a word only under a mask near 0."""


def from_effects(effects: Tensor, similarity: Similarity, steps: int = 1, moved: Tensor | None = None) -> Tensor:
    """Logits that stand as high as a word's effect, in orders of magnitude.

    What does ``PIVOT`` of what the strongest word does at the strongest position stands at 1/2. The denoising steps of
    a diffusion model are taken together: at a single one, what a word does is seen less surely.

    Args:
        effects: what each token's word does by itself, at least 0, [positions, tokens].
        similarity: how they are measured.
        steps: into how many denoising steps the positions fall.
        moved: how far all tokens together move each position, [positions], by which it counts against the same moment
            at other steps and against other moments; None where all count the same.

    Returns:
        The logits of each step, [positions / steps, tokens].
    """
    by_step = effects.reshape(steps, -1, effects.shape[1])
    counts = torch.ones_like(by_step[..., :1]) if moved is None else moved.reshape(steps, -1, 1)
    together = (counts * by_step).sum(0)
    middle = (PIVOT[similarity] * together.max()).clamp_min(1e-7)
    return SPREAD[similarity] * torch.log(together.clamp_min(1e-7) / middle)


def at_size(logits: Tensor, size: float) -> Tensor:
    """Logits shifted by one number, so that the mean of their sigmoids is ``size``, above 0 and below 1."""
    low = -torch.logit(torch.tensor(size, dtype=torch.float64)).abs() - logits.abs().max().double()
    high = -low
    for _ in range(60):  # bisection: the mean rises with the shift
        middle = (low + high) / 2
        above = torch.sigmoid(logits.double() + middle).mean() > size
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return logits + middle.to(logits.dtype)
