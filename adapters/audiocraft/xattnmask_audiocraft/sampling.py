"""How codes are drawn: audiocraft's own settings, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from xattnmask.errors import SettingError


@dataclass(frozen=True)
class Sampling:
    """Settings of ``generate``, named as audiocraft names them.

    Attributes:
        use_sampling: False takes the likeliest code.
        temperature: of the softmax, above 0.
        top_k: draw among the k likeliest codes; 0 for all.
        top_p: draw among the likeliest codes that make up this share, in place of ``top_k``; 0 for off.
        two_step_cfg: guidance by two forwards in place of one with twice the rows.
    """

    use_sampling: bool = True
    temperature: float = 1.0
    top_k: int = 250
    top_p: float = 0.0
    two_step_cfg: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Sampling:
        """From the settings a user gave; raises SettingError if one is unknown or out of range."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(settings) - set(known)):
            raise SettingError(f"unknown settings {', '.join(unknown)}: this model takes {', '.join(known)}")
        sampling = cls(**settings)
        if not 0 < sampling.temperature < math.inf:
            raise SettingError(f"temperature must be above 0, not {sampling.temperature}")
        if sampling.top_k < 0 or not float(sampling.top_k).is_integer():
            raise SettingError(f"top_k must be a whole number, 0 or more, not {sampling.top_k}")
        if not 0 <= sampling.top_p <= 1:
            raise SettingError(f"top_p must be from 0 (off) to 1, not {sampling.top_p}")
        return sampling

    def arguments(self, codes: int) -> dict[str, Any]:
        """For ``LMModel.generate``, which fails where ``top_k`` is more than there are ``codes``."""
        return {
            "use_sampling": self.use_sampling,
            "temp": self.temperature,
            "top_k": min(int(self.top_k), codes),
            "top_p": self.top_p,
            "two_step_cfg": self.two_step_cfg,
        }
