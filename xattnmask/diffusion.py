"""What an adapter of a diffusion model provides besides, and what its predictions are compared as."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from .adapter import Adapter
from .errors import SettingError
from .generation import Generation

Prediction = Literal["noise", "x0", "v", "flow"]
"""What a denoiser predicts: the noise; the clean latents; v = alpha * noise - sigma * x0 (Salimans and Ho, 2022,
appendix D); or the flow noise - x0 of rectified flow."""
Representation = Literal["noise", "x0", "v", "guidance"]
REPRESENTATIONS = ("noise", "x0", "v", "guidance")


@dataclass(frozen=True)
class Denoised:
    """What the denoiser was given and said at some steps.

    Attributes:
        latents: noisy latents as the denoiser got them, [steps, positions, width].
        prediction: what it predicts, [batch, steps, positions, width].
        alpha, sigma: [steps]; ``latents`` are alpha * x0 + sigma * noise.
        kind: what ``prediction`` is.
    """

    latents: Tensor
    prediction: Tensor
    alpha: Tensor
    sigma: Tensor
    kind: Prediction

    def as_(self, wanted: Literal["noise", "x0", "v"]) -> Tensor:
        """The prediction as noise, clean latents or v, in float32, [batch, steps, positions, width]."""
        given, latents = self.prediction.float(), self.latents.float()
        if wanted == self.kind:
            return given
        alpha, sigma = (level.float()[:, None, None].to(given.device) for level in (self.alpha, self.sigma))
        clean = _clean(given, latents, alpha, sigma, self.kind)
        if wanted == "x0":
            return clean
        noise = (latents - alpha * clean) / sigma.clamp_min(1e-6)
        return noise if wanted == "noise" else alpha * noise - sigma * clean


def _clean(given: Tensor, latents: Tensor, alpha: Tensor, sigma: Tensor, kind: Prediction) -> Tensor:
    if kind == "x0":
        return given
    if kind == "noise":
        return (latents - sigma * given) / alpha.clamp_min(1e-6)
    if kind == "v":
        return (alpha * latents - sigma * given) / (alpha**2 + sigma**2)
    return (latents - sigma * given) / (alpha + sigma)  # the flow: noise = x0 + flow


class DiffusionAdapter(Adapter):
    """Drives one loaded diffusion model.

    Its generation keeps the trajectory: what the denoiser was given at each step. A position is one column of the
    latents along the audio's time, and ``replay`` runs over all steps: [batch, steps * positions, width].
    """

    step: int = 0
    """The denoising step under way while :meth:`generate` runs, counted from 0: one for each call of the denoiser."""
    masked_steps: Sequence[int] = ()
    """The denoising steps that have masks of their own now, ascending: a step between them has the nearest one's."""
    encodes_apart: ClassVar[bool] = False
    """Whether stretches of the audio can have texts of their own, as :attr:`texts` says. Then all that the text tells
    the denoiser comes in at its ``cross`` and ``summary`` sites, which have ``places``."""
    texts: int = 1
    """How many texts each row of the denoiser reads now, by stretches of the audio."""

    @abstractmethod
    def denoise(self, generation: Generation, steps: Sequence[int], batch: int = 1, *, text: bool = True) -> Denoised:
        """Run the denoiser once more at some steps of ``generation``, ``batch`` times in one batch, without guidance.

        Row b * len(steps) + s of the batch at the sites is copy b of step s. The text is encoded here, with one row for
        each of them too, so that a patch of a text encoder holds; or, where :attr:`texts` is above 1, with so many rows
        for each, one after the other, whose keys the denoiser gets side by side. With ``text=False`` the prediction is
        that of the unconditional (or negative) branch. Runs under the caller's grad mode and patches.
        """

    @property
    def frequencies(self) -> npt.NDArray[np.float64] | None:
        """Edges in Hz of the rows that the latents have along frequency, ascending; None where they have no such axis.

        Sites then say by ``plane`` where their queries lie.
        """
        return None

    def replay(self, generation: Generation, batch: int = 1) -> Tensor:
        """The predictions of all steps, [batch, steps * positions, width]."""
        return self.denoise(generation, range(num_steps(generation)), batch).prediction.flatten(1, 2)

    @property
    def encodes_anew(self) -> bool:
        """Whether :meth:`generate` has to encode the text itself, wherever the mask is another than the step before.

        It has where steps have masks of their own, or stretches of the audio texts.
        """
        return bool(self.masked_steps) or self.texts > 1

    @property
    def mask_in_force(self) -> int:
        """Which of :attr:`masked_steps` has the mask of the step under way, counted from 0; 0 if there are none."""
        return min(range(len(self.masked_steps)), key=lambda i: abs(self.masked_steps[i] - self.step), default=0)

    @contextmanager
    def masking_by_step(self, steps: Sequence[int]) -> Iterator[None]:
        """While open, these steps have masks of their own, and :meth:`generate` encodes the text by step.

        Raises SettingError unless they ascend from 0 or above.
        """
        wanted = [int(step) for step in steps]
        if not wanted or wanted != sorted(set(wanted)) or wanted[0] < 0:
            raise SettingError(f"steps must be counted from 0 and ascend, not {wanted}")
        before, self.masked_steps = self.masked_steps, wanted
        try:
            yield
        finally:
            self.masked_steps = before

    @contextmanager
    def encoding_apart(self, texts: int) -> Iterator[None]:
        """While open, each row of the denoiser reads so many texts; for patches, which see to who reads which.

        Raises SettingError where the model cannot, or does so already.
        """
        if not self.encodes_apart:
            raise SettingError(f"model {self.key!r} cannot encode its text apart for stretches of the audio")
        if self.texts > 1:
            raise SettingError("the text is encoded apart already: such patches do not nest")
        self.texts = texts
        try:
            yield
        finally:
            self.texts = 1


def num_steps(generation: Generation) -> int:
    """How often the denoiser was called."""
    if generation.noise_levels is None:
        raise TypeError("not the generation of a diffusion model")
    return len(generation.noise_levels)

