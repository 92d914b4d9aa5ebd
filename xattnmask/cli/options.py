"""Options of ``xattnmask explain``: checked before anything is loaded, passed on only when they were given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import PromptError, SettingError
from ..loading import DTYPES
from ..plugins.discovery import ADAPTERS, CHECKPOINTS, METHODS, find, keys, nearest
from ..text import word_spans

CONTEXTS = ("none", "frozen", "joint")
PRESETS = ("default", "paper")


@dataclass(frozen=True)
class Options:
    """What the user asked for; None where nothing was said, so that the library's own defaults apply."""

    prompt: str
    model: str | None
    checkpoint: str | None
    seed: int
    duration: float | None
    guidance: float | None
    method: str
    context: str | None
    steps: int | None
    preset: str | None
    out: Path
    device: str
    dtype: str
    audio: Path | None = None
    report: bool = True

    def as_dict(self) -> dict[str, Any]:
        """What shapes the results of a batch: everything but the prompt and the folder, JSON-able."""
        return {name: value for name, value in asdict(self).items() if name not in ("prompt", "out", "audio")}

    def generate_settings(self) -> dict[str, Any]:
        """Arguments of ``generate`` that were given."""
        return _given(guidance=self.guidance)

    def explain_settings(self) -> dict[str, Any]:
        """Settings of ``explain`` that were given."""
        return _given(context=self.context, steps=self.steps, preset=self.preset)

    def check(self) -> None:
        """Find what can be found wrong without importing any plugin; raises SettingError and kin."""
        if not word_spans(self.prompt):
            raise PromptError("the prompt is empty: give at least one word")
        _check_number("duration", self.duration, above=0)
        _check_number("guidance", self.guidance, above=None)
        if self.steps is not None and self.steps < 1:
            raise SettingError(f"steps must be at least 1, not {self.steps}")
        if not 0 <= self.seed < 2**63:
            raise SettingError(f"seed must be between 0 and 2**63 - 1, not {self.seed}")
        if self.audio is not None and (self.duration, self.guidance) != (None, None):
            raise SettingError("--duration and --guidance are for generating: they do not go with --audio")
        _check_choice("context", self.context, CONTEXTS)
        _check_choice("preset", self.preset, PRESETS)
        _check_choice("dtype", self.dtype, DTYPES)
        find(METHODS, self.method)


def complete_model(incomplete: str) -> list[str]:
    """Shell completion of ``--model``."""
    return [key for key in keys(ADAPTERS) if key.startswith(incomplete)]


def complete_checkpoint(incomplete: str) -> list[str]:
    """Shell completion of ``--checkpoint``: named ones."""
    return [key for key in keys(CHECKPOINTS) if key.startswith(incomplete)]


def complete_method(incomplete: str) -> list[str]:
    """Shell completion of ``--method``."""
    return [key for key in keys(METHODS) if key.startswith(incomplete)]


def _given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _check_number(name: str, value: float | None, above: float | None) -> None:
    if value is None:
        return
    if not math.isfinite(value) or (above is not None and value <= above):
        wanted = "a finite number" if above is None else f"above {above:g}"
        raise SettingError(f"{name} must be {wanted}, not {value:g}")


def _check_choice(name: str, value: str | None, choices: Sequence[str]) -> None:
    if value is not None and value not in choices:
        raise SettingError(f"no {name} {value!r}: {nearest(value, choices)}")
