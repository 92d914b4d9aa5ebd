"""Explanations to draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xattnmask.results import Explanation
from xattnmask.text import Token, word_spans


@pytest.fixture
def make() -> Any:
    """Builds an explanation of any prompt, one token a word and an end token; keywords replace fields."""
    def build(prompt: str = "a dog barks then a siren", frames: int = 50, **changes: Any) -> Explanation:
        random = np.random.default_rng(0)
        spans = word_spans(prompt)
        tokens = (*(Token(i, prompt[a:b], a, b) for i, (a, b) in enumerate(spans)),
                  Token(1, "</s>", len(prompt), len(prompt), special=True))
        values: dict[str, Any] = {
            "prompt": prompt, "tokens": tokens, "times": np.linspace(0, 2, frames + 1),
            "importance": random.random((frames, len(tokens))), "method": "learned", "model": "musicgen",
            "checkpoint": "foley-musicgen", "seed": 0, "sample_rate": 16000,
            "audio": {"audio": 0.1 * random.standard_normal(32000)},
        }
        return Explanation(**{**values, **changes})
    return build
