"""What a caption says sounds when, as numbers: what text encoders of the diffusion models learn to tell."""

from __future__ import annotations

import torch
from torch import Tensor

from ..world import SOURCES, Caption
from ..world.grammar import COUNTS, FORWARD, REVERSE

SIDES = 2
"""First and second half of a clip, or, of what sounds together or alone, the whole of it twice."""
_MANNERS = ("loudness", "speed", "pitch", "count")
FACTS = 1 + 2 + 2 + 2 + len(COUNTS)
"""About a source in a half: it sounds; loud, faint; fast, slow; high, low; once, twice, three times."""


def meaning(captions: list[Caption]) -> Tensor:
    """Which facts hold of which source in which half, float32 [captions, halves, sources * facts] of 0 and 1."""
    found = torch.zeros(len(captions), SIDES, len(SOURCES), FACTS)
    for row, caption in enumerate(captions):
        for index, phrase in enumerate(caption.phrases):
            source = list(SOURCES).index(phrase.noun)
            facts = [1.0, *_either(phrase.loudness, 0.5), *_either(phrase.speed, 1.0), *_either(phrase.pitch, 1.0)]
            facts += [float(phrase.count == count) for count in COUNTS.values()]
            found[row, _halves(caption, index), source] = torch.tensor(facts)
    return found.flatten(2)


def _either(value: float, usual: float) -> list[float]:
    return [float(value > usual), float(value < usual)]


def _halves(caption: Caption, index: int) -> slice:
    if caption.arrangement not in (FORWARD, REVERSE):
        return slice(0, SIDES)
    half = index if caption.arrangement == FORWARD else 1 - index
    return slice(half, half + 1)
