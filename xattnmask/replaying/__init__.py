"""Masked replays of a generation: what attribution methods run the model through, whatever kind it is."""

from __future__ import annotations

from .common import (
    CONTEXTS,
    DEPTHS,
    Context,
    Depth,
    check_choice,
    frozen_weights,
    has_history,
    mask_roles,
    sites_reading_tokens,
)
from .denoising import StepReplayer
from .grid import Grid, choose_steps
from .sequence import Replayer
from .view import View, build_replayer, in_force

__all__ = [
    "CONTEXTS",
    "DEPTHS",
    "Context",
    "Depth",
    "Grid",
    "Replayer",
    "StepReplayer",
    "View",
    "build_replayer",
    "check_choice",
    "choose_steps",
    "frozen_weights",
    "has_history",
    "in_force",
    "mask_roles",
    "sites_reading_tokens",
]
