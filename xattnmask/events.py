"""What listeners are told while an explanation is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunStart:
    """An explanation starts: of which prompt, by which method, in how many steps at most."""

    prompt: str
    method: str
    model: str
    steps: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class StepEvent:
    """One step is done. ``values`` holds the method's own numbers (loss, factual, counterfactual, size)."""

    step: int
    steps: int
    values: Mapping[str, float]
