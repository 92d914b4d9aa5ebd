"""Masked replays of a generation: what attribution methods run the model through, whatever kind it is."""

from __future__ import annotations

from .common import (
    CONTEXTS,
    DEPTHS,
    Context,
    Depth,
    check_choice,
    default_depth,
    default_text_stretches,
    frozen_weights,
    has_history,
    mask_roles,
    sites_reading_tokens,
)
from .denoising import StepReplayer
from .grid import Grid, choose_steps
from .plane import PlaneSum
from .sequence import Replayer
from .view import ROWS, View, build_replayer, grid_of, in_force

__all__ = [
    "CONTEXTS",
    "DEPTHS",
    "ROWS",
    "Context",
    "Depth",
    "Grid",
    "PlaneSum",
    "Replayer",
    "StepReplayer",
    "View",
    "build_replayer",
    "check_choice",
    "choose_steps",
    "default_depth",
    "default_text_stretches",
    "frozen_weights",
    "grid_of",
    "has_history",
    "in_force",
    "mask_roles",
    "sites_reading_tokens",
]
