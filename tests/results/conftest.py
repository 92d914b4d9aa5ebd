"""A small explanation whose every number is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xattnmask.results import Explanation
from xattnmask.text import Token

PROMPT = "a dog barks, then a siren!"
TOKENS = (
    Token(5, "▁a", 0, 1), Token(6, "▁do", 2, 4), Token(7, "g", 4, 5), Token(8, "▁barks", 6, 11),
    Token(9, ",", 11, 12), Token(10, "▁then", 13, 17), Token(5, "▁a", 18, 19), Token(11, "▁siren", 20, 25),
    Token(12, "!", 25, 26), Token(1, "</s>", 26, 26, special=True), Token(0, "<pad>", 26, 26, special=True),
)
FRAMES = 40
RATE = 8000


@pytest.fixture
def make() -> Callable[..., Explanation]:
    """Builds an explanation of 4 s in 40 frames; keyword arguments replace its fields."""
    def build(**changes: Any) -> Explanation:
        random = np.random.default_rng(0)
        values: dict[str, Any] = {
            "prompt": PROMPT, "tokens": TOKENS, "times": np.linspace(0, 4, FRAMES + 1),
            "importance": random.random((FRAMES, len(TOKENS)), dtype=np.float32),
            "attention": random.random((FRAMES, len(TOKENS)), dtype=np.float32),
            "method": "learned", "model": "musicgen", "checkpoint": "foley-musicgen", "seed": 3,
            "settings": {"steps": 20, "lr": 0.5, "layers": ("first", 2)}, "generation_settings": {"duration": 4.0},
            "versions": {"torch": "2.13.0"}, "losses": {"total": [1.0, 0.5], "factual": [0.5, 0.1]},
            "converged": True, "metrics": {"fidelity": 0.75}, "sample_rate": RATE,
            "audio": {"audio": random.uniform(-1, 1, 4 * RATE).astype(np.float32),
                      "factual": random.uniform(-1, 1, (2, 4 * RATE)).astype(np.float32)},
        }
        return Explanation(**{**values, **changes})
    return build


@pytest.fixture
def explanation(make: Callable[..., Explanation]) -> Explanation:
    return make()
