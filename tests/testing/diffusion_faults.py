"""Adapters of diffusion models with one fault each, as in faults.py."""

from __future__ import annotations

from dataclasses import replace

from ..toy_diffusion import ToyApart, ToyDiffusion
from .faults import fails


@fails("denoise", "must lie in")
class LevelsRise(ToyDiffusion):
    def _generate(self, *given, **settings):
        made = super()._generate(*given, **settings)
        return replace(made, noise_levels=made.noise_levels[::-1].copy())


@fails("denoise", "noise_levels are not sigma")
class OtherLevels(ToyDiffusion):
    def _generate(self, *given, **settings):
        made = super()._generate(*given, **settings)
        return replace(made, noise_levels=made.noise_levels * 0.5)


@fails("denoise", r"denoise\(text=False\) predicts the same as with text")
class NoNull(ToyDiffusion):
    def denoise(self, generation, steps, batch=1, *, text=True):
        return super().denoise(generation, steps, batch)


@fails("denoise", r"row b \* len\(steps\) \+ s must be copy b of step s")
class StepsFirst(ToyDiffusion):
    def denoise(self, generation, steps, batch=1, *, text=True):
        found = super().denoise(generation, steps, batch, text=text)
        return replace(found, prediction=found.prediction.transpose(0, 1).reshape(found.prediction.shape))


@fails("by-step", r"model\.step reads \[0, 0, 0, 0\]")
class NeverSaysTheStep(ToyDiffusion):
    @property
    def step(self):
        return 0

    @step.setter
    def step(self, value):
        pass


@fails("by-step", "step must be 0 again")
class LeavesTheStep(ToyDiffusion):
    def _generate(self, *given, **settings):
        made = super()._generate(*given, **settings)
        self.step = 3
        return made


@fails("replay", "denoise differs from generate at step 0")
class OtherTimesteps(ToyDiffusion):
    def denoise(self, generation, steps, batch=1, *, text=True):
        kept = {**generation.replay, "angles": generation.replay["angles"] * 0.5}
        return super().denoise(replace(generation, replay=kept), steps, batch, text=text)


@fails("replay", "denoiser was called 5 times and noise_levels has 4 values")
class AnotherCall(ToyDiffusion):
    def run(self, latents, angles, text):
        if self.guided and self.step == 0:
            super().run(latents, angles, text)
        return super().run(latents, angles, text)


@fails("apart", "keys, which are not 3 texts side by side")
class OneText(ToyApart):
    def text(self, tokens, rows=1):
        return super().text(tokens, rows)[:, : len(tokens)]


@fails("apart", "is not what it is for the whole")
class TextsOfOthers(ToyApart):
    def text(self, tokens, rows=1):
        words = super().text(tokens, rows)
        return words.reshape(self.texts, rows, len(tokens), -1).transpose(0, 1).flatten(1, 2)


@fails("apart", "texts of their own change nothing")
class SameTexts(ToyApart):
    def text(self, tokens, rows=1):
        words = super().text(tokens, rows)
        return words[:, -len(tokens) :].repeat(1, self.texts, 1)


@fails("apart", "change the audio")
class LouderWhenGenerating(ToyApart):
    def run(self, latents, angles, text):
        return super().run(latents, angles, text * 2 if self.guided and self.texts > 1 else text)
