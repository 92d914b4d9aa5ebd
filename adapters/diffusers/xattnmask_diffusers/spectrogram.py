"""What AudioLDM and its kin share: latents of a mel spectrogram, a UNet, and a vocoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .latents import grid_places, grid_shape
from .mel import MelSpectrogram
from .pipeline import PipelineAdapter


class SpectrogramAdapter(PipelineAdapter):
    """A pipeline whose latents are [channels, time, frequency] of a mel spectrogram."""

    denoiser_name: ClassVar[str] = "unet"
    max_duration: float = 30.0
    """Seconds. The UNet takes any length."""

    def __init__(self, pipeline: Any, checkpoint: str) -> None:
        super().__init__(pipeline, checkpoint)
        vocoder = pipeline.vocoder.config
        self.frame = float(np.prod(vocoder.upsample_rates)) / vocoder.sampling_rate
        """Seconds of one column of the spectrogram."""
        self.column = self.frame * pipeline.vae_scale_factor
        trained = self.denoiser.config.sample_size  # rows of the latents, as the pipelines' own default has it
        if isinstance(trained, int):
            self.default_duration = trained * self.column
        self.mel = MelSpectrogram.of(vocoder)
        """How sounds that are taken in become spectrograms; set another where the VAE was trained on another."""

    @property
    def sample_rate(self) -> int:
        return int(self.pipeline.vocoder.config.sampling_rate)

    def places(self, queries: int) -> Sequence[float]:
        """The place in time of each query of the UNet."""
        _, height, width = self.latent_shape
        return grid_places(queries, height, width)

    def plane(self, queries: int) -> tuple[int, int]:
        """How the queries of the UNet lie in time and frequency."""
        _, height, width = self.latent_shape
        return grid_shape(queries, height, width)

    @property
    def frequencies(self) -> npt.NDArray[np.float64]:
        """Between the mel bands that the rows of the latents take together."""
        return self.mel.edges()[:: self.pipeline.vae_scale_factor]

    def encode_sound(self, rows: np.ndarray, columns: int) -> Tensor:
        vae = self.backbone["vae"]
        spectrogram = torch.from_numpy(self.mel(rows[0], columns * self.pipeline.vae_scale_factor))
        mean = vae.encode(spectrogram[None, None].to(self.device, vae.dtype)).latent_dist.mode()
        latents: Tensor = mean * vae.config.scaling_factor
        return latents
