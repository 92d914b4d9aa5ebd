"""The foley judge: which sources are heard in a clip, and in which frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy.signal import resample_poly
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from xattnmask import CheckpointError, Judge, hookimpl

from .world import SAMPLE_RATE, SOURCES

WEIGHTS = Path(__file__).parent / "checkpoints" / "foley-judge" / "model.safetensors"
_WINDOW, _HOP, _BANDS = 512, 320, 64


class JudgeNetwork(nn.Module):
    """A small convolutional network on log-mel frames; one output per source and frame, 25 frames a second."""

    mel: Tensor
    window: Tensor

    def __init__(self, width: int = 24):
        super().__init__()
        bins, nyquist = _WINDOW // 2 + 1, SAMPLE_RATE / 2
        mel = mel_filter_bank(bins, _BANDS, 0, nyquist, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        self.register_buffer("mel", torch.tensor(mel, dtype=torch.float32), persistent=False)
        self.register_buffer("window", torch.hann_window(_WINDOW), persistent=False)
        self.image = nn.Sequential(
            _block(1, width, (2, 1)),
            _block(width, width, (2, 2)),
            _block(width, 2 * width, (2, 1)),
            _block(2 * width, 2 * width, (2, 1)),
        )
        self.sequence = nn.Sequential(
            nn.Conv1d(8 * width, 3 * width, 5, padding=2),
            nn.BatchNorm1d(3 * width),
            nn.ReLU(),
            nn.Conv1d(3 * width, 2 * width, 9, padding=4),
            nn.BatchNorm1d(2 * width),
            nn.ReLU(),
        )
        self.heads = nn.Linear(2 * width, len(SOURCES))

    def features(self, audio: Tensor) -> Tensor:
        """Log-mel frames [batch, bands, frames], 50 a second, of audio [batch, samples]."""
        spectrum = torch.stft(audio, _WINDOW, _HOP, window=self.window, return_complex=True).abs()[..., :-1]
        return torch.log(self.mel.T @ spectrum**2 + 1e-4)

    def forward(self, features: Tensor) -> Tensor:
        """Logits [batch, frames, sources] of log-mel features, at half their rate."""
        image = self.image(features[:, None] / 4)
        return self.heads(self.sequence(image.flatten(1, 2)).transpose(1, 2))


def clip_logits(frame_logits: Tensor) -> Tensor:
    """Logits of a clip [batch, sources]: the mean of each source's five best frames."""
    return frame_logits.topk(min(5, frame_logits.shape[1]), dim=1).values.mean(1)


class FoleyJudge(Judge):
    """Knows the sources of the foley world, each heard or not by itself."""

    labels = tuple(SOURCES)
    multilabel = True

    def __init__(self, network: JudgeNetwork):
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def load(cls, checkpoint: str | None = None, *, device: str = "cpu") -> FoleyJudge:
        """Load the bundled weights, or those of a folder; raises CheckpointError where they are no judge's."""
        network = JudgeNetwork()
        weights = WEIGHTS if checkpoint is None else Path(checkpoint) / "model.safetensors"
        try:
            state = load_file(weights)
            network.load_state_dict({name: v.float() if v.is_floating_point() else v for name, v in state.items()})
        except (OSError, SafetensorError, RuntimeError) as error:
            raise CheckpointError(f"{weights} holds no foley judge: {str(error).splitlines()[0]}") from error
        return cls(network.to(device))

    def __call__(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Probability of each source, float32 [sources]."""
        return clip_logits(self._logits(audio, sample_rate))[0].sigmoid().cpu().numpy()

    def frames(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Probability of each source in each frame, float32 [frames, sources], 25 frames a second."""
        return self._logits(audio, sample_rate)[0].sigmoid().cpu().numpy()

    def _logits(self, audio: np.ndarray, sample_rate: int) -> Tensor:
        mono = np.asarray(audio, dtype=np.float64).reshape(-1, np.shape(audio)[-1]).mean(0)
        if sample_rate != SAMPLE_RATE:
            common = np.gcd(sample_rate, SAMPLE_RATE)
            mono = resample_poly(mono, SAMPLE_RATE // common, sample_rate // common)
        mono = np.pad(mono, (0, max(0, 4 * _HOP - len(mono))))
        samples = torch.tensor(mono[None], dtype=torch.float32, device=self.network.window.device)
        return self.network(self.network.features(samples))


def _block(inputs: int, outputs: int, pool: tuple[int, int]) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.AvgPool2d(pool))


@hookimpl
def xattnmask_judge() -> type[Judge]:
    """The foley judge."""
    return FoleyJudge
