"""PaSST (Koutini et al., 2022) as a judge: the classifier by which the AudioGenX paper measures fidelity and KL."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from xattnmask import Judge, SettingError, hookimpl
from xattnmask.sound import mono, resample, windows

from .loading import Loaded, load, quiet

SECONDS = 10.0
"""The longest window: what the published networks were trained on."""
_SHORTEST = 0.2  # seconds: below this there is no patch of 16 frames


class PaSST(Judge):
    """The softmax over PaSST's classes, as in the authors' evaluation; of a long sound the mean over windows."""

    def __init__(self, loaded: Loaded, device: str = "cpu") -> None:
        self.labels = loaded.labels
        self.model: nn.Module = loaded.model.to(device).eval().requires_grad_(False)
        self._rate, self._device = int(loaded.model.sample_rate), device

    @classmethod
    def load(cls, checkpoint: str | None = None, *, device: str = "cpu") -> PaSST:
        """Load the network that the authors use, another that hear21passt knows by name, or those of a folder.

        Args:
            checkpoint: a name of hear21passt's (``passt_s_kd_p16_128_ap486``), which it downloads; or a folder that
                :func:`xattnmask_passt.loading.load` describes. By default ``passt_s_swa_p16_128_ap476``.
            device: a torch device.

        Raises:
            CheckpointError: missing, partial or corrupt, or it could not be downloaded.
            SettingError: no such device.
        """
        loaded = load(checkpoint)
        try:
            return cls(loaded, device)
        except (RuntimeError, AssertionError) as error:
            raise SettingError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error

    @torch.no_grad()
    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Probability of each class, float32 [labels], of a sound resampled to 32 kHz."""
        sound = resample(mono(audio), sample_rate, self._rate)
        sound = np.pad(sound, (0, max(0, round(_SHORTEST * self._rate) - len(sound))))
        with quiet():
            logits = [self.model(torch.from_numpy(window[None]).to(self._device))[0]
                      for window in windows(sound, round(SECONDS * self._rate))]
        mean: np.ndarray = torch.stack(logits).float().softmax(-1).mean(0).cpu().numpy()
        return mean


@hookimpl
def xattnmask_judge() -> type[Judge]:
    """PaSST."""
    return PaSST
