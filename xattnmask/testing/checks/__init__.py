"""The checks, by what they are about; imported in the order in which they are run."""

from __future__ import annotations

from ..check import CHECKS

from . import basics, tokens  # isort: skip
from . import masks, guidance, replays, steps, restoring  # isort: skip
from . import whole  # isort: skip

__all__ = ["CHECKS", "basics", "guidance", "masks", "replays", "restoring", "steps", "tokens", "whole"]
