"""The adapter under test, with what its checks share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from ..adapter import Adapter
from ..diffusion import DiffusionAdapter
from ..errors import SettingError
from ..generation import Generation
from ..text import word_spans
from .check import Broken

PROMPT = "a dog barks then a siren wails"
DURATION, STEPS = 1.0, 4
SEED, GUIDANCE = 3, 3.0


@dataclass
class Subject:
    """An adapter, how it is loaded, and what is generated with it. Loads and generates when it is first asked to.

    Attributes:
        load: from a device and a dtype's name to a loaded adapter.
        prompt: of the generations; its first words only, if all of them are too long for the model.
        duration: seconds of audio; 1 by default, or the model's most if that is less. Short is quick.
        settings: what else ``generate`` is given; ``{"steps": 4}`` by default for a diffusion model that takes it.
    """

    load: Callable[[str, str], Adapter]
    prompt: str = PROMPT
    duration: float | None = None
    settings: Mapping[str, Any] | None = None
    _made: dict[float, Generation] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, key: str, checkpoint: str | None = None, **others: Any) -> Subject:
        """The adapter of an installed model key, or of a named checkpoint, as :func:`xattnmask.load` takes them."""
        from ..loading import load

        return cls(lambda device, dtype: load(key, checkpoint, device=device, dtype=dtype), **others)

    def on(self, device: str, dtype: str) -> Subject:
        """The same in another precision or place, loaded anew."""
        other = replace(self, _made={})
        other.__dict__["model"] = self.load(device, dtype)
        return other

    @cached_property
    def model(self) -> Adapter:
        """The adapter, on the CPU in float32."""
        return self.load("cpu", "float32")

    @property
    def diffusion(self) -> DiffusionAdapter | None:
        """The adapter, if it is that of a diffusion model."""
        return self.model if isinstance(self.model, DiffusionAdapter) else None

    def fitted_prompt(self) -> str:
        """As many of the prompt's words as the model takes."""
        for _, end in reversed(word_spans(self.prompt)):
            if len(self.model.tokenize(self.prompt[:end])) <= self.model.max_tokens:
                return self.prompt[:end]
        raise Broken(f"no word of {self.prompt!r} fits into max_tokens = {self.model.max_tokens}: raise max_tokens, or "
                     "give the check a shorter prompt")

    def other_prompt(self) -> str:
        """Another prompt with as many tokens as the first: one word stands in the place of another."""
        prompt = self.fitted_prompt()
        count = len(self.model.tokenize(prompt))
        for start, end in word_spans(prompt):
            for first, last in word_spans(prompt):
                other = prompt[:start] + prompt[first:last] + prompt[end:]
                if other != prompt and len(self.model.tokenize(other)) == count:
                    return other
        raise Broken(f"no two words of {prompt!r} have the same number of tokens: give the check another prompt")

    def generate(self, prompt: str | None = None, *, guidance: float = GUIDANCE, seed: int = SEED,
                 **others: Any) -> Generation:
        """A generation made anew."""
        prompt = self.fitted_prompt() if prompt is None else prompt
        settings = {"duration": self._seconds(), **self._settings, **others}
        return self.model.generate(prompt, seed=seed, guidance=guidance, **settings)

    def generation(self, guidance: float = GUIDANCE) -> Generation:
        """The same generation for all who ask."""
        if guidance not in self._made:
            self._made[guidance] = self.generate(guidance=guidance)
        return self._made[guidance]

    def weights(self) -> Iterator[Tensor]:
        """The backbone's weights."""
        return self.model.backbone.parameters()

    def _seconds(self) -> float:
        return min(DURATION, self.model.max_duration) if self.duration is None else self.duration

    @cached_property
    def _settings(self) -> Mapping[str, Any]:
        if self.settings is not None or self.diffusion is None:
            return self.settings or {}
        try:
            self.model.generate(self.fitted_prompt(), duration=self._seconds(), guidance=GUIDANCE, steps=STEPS)
        except SettingError:
            return {}
        return {"steps": STEPS}
