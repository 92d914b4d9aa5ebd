"""What AudioLDM and its kin share: latents of a mel spectrogram, a UNet, and a vocoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .latents import grid_places
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

    @property
    def sample_rate(self) -> int:
        return int(self.pipeline.vocoder.config.sampling_rate)

    def places(self, queries: int) -> Sequence[float]:
        """The place in time of each query of the UNet."""
        _, height, width = self.latent_shape
        return grid_places(queries, height, width)
