"""What ``generate`` of a diffusion pipeline takes, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from xattnmask.errors import SettingError


@dataclass(frozen=True)
class DenoisingSettings:
    """What ``generate`` takes besides the common arguments.

    Attributes:
        steps: denoising steps.
        negative_prompt: what the unconditional branch of guidance is given; the pipeline's own default if None.
        scheduler: class name of a scheduler of diffusers, with the checkpoint's noise schedule; its own by default.
        eta: noise added by DDIM, from 0 (none) to 1.
        waveforms: how many are made in one batch.
        waveform: which of them is kept, from 0.
    """

    steps: int
    negative_prompt: str | None = None
    scheduler: str | None = None
    eta: float = 0.0
    waveforms: int = 1
    waveform: int = 0

    @classmethod
    def of(cls, given: Mapping[str, Any], steps: int) -> DenoisingSettings:
        """From the settings a user gave; raises SettingError if one is unknown or out of range."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise SettingError(f"unknown settings {', '.join(unknown)}: this model takes {', '.join(known)}")
        settings = cls(**{"steps": steps, **given})
        for name, least in (("steps", 1), ("waveforms", 1), ("waveform", 0)):
            value = getattr(settings, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingError(f"{name} must be a whole number, at least {least}, not {value!r}")
        if settings.waveform >= settings.waveforms:
            raise SettingError(f"waveform {settings.waveform} of {settings.waveforms}: they are counted from 0")
        if not 0 <= settings.eta <= 1:
            raise SettingError(f"eta must be from 0 to 1, not {settings.eta}")
        if not isinstance(settings.negative_prompt, (str, type(None))):
            raise SettingError(f"negative_prompt must be a string, not {settings.negative_prompt!r}")
        return settings
