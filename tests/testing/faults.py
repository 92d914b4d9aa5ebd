"""Adapters with one fault each: which check finds it, as what, and what its message has to say."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from xattnmask import Adapter, Site

from ..toy_plugin import Toy


@dataclass(frozen=True)
class Fault:
    check: str
    status: str
    message: str
    adapter: type[Adapter]

    def __str__(self):
        return f"{self.check}-{self.adapter.__name__}"


FAULTS: list[Fault] = []


def fails(check, message, status="failed"):
    def add(adapter):
        FAULTS.append(Fault(check, status, message, adapter))
        return adapter

    return add


@fails("contract", "modules are in training mode")
class Training(Toy):
    def __init__(self, *given):
        super().__init__(*given)
        self.backbone.train()


@fails("contract", "max_tokens must be")
class NoLimit(Toy):
    max_tokens = None


@fails("sites", "made 2 attention calls in one forward and declares 1")
class NamesTheParent(Toy):
    def sites(self, num_tokens):
        return [Site(f"layers.{i}", i) for i in range(2)]


@fails("sites", r"no module 'layers\.0\.crss'; the nearest are layers\.0\.cross")
class Renamed(Toy):
    def sites(self, num_tokens):
        return [Site("layers.0.crss", 0)]


@fails("sites", "never passed through torch")
class NotAnAttention(Toy):
    def sites(self, num_tokens):
        return [Site("head", 0), Site("norm", 1)]


@fails("sites", "in replay: 1 patched sites never ran")
class Idle(Toy):
    def __init__(self, *given):
        super().__init__(*given)
        self.backbone.add_module("spare", type(self.backbone.layers[0].cross)())

    def sites(self, num_tokens):
        return [*super().sites(num_tokens), Site("spare", 2)]


@fails("sites", "more than once")
class Twice(Toy):
    def sites(self, num_tokens):
        return [Site("layers.0.cross", 0), Site("layers.0.cross", 1)]


@fails("generation", "audio must be float32")
class Double(Toy):
    def _generate(self, *given, **settings):
        made = super()._generate(*given, **settings)
        return replace(made, audio=made.audio.astype(np.float64))


@fails("generation", r"times must be the edges of the 25 frames that positions has, 26 of them")
class Middles(Toy):
    def _generate(self, *given, **settings):
        made = super()._generate(*given, **settings)
        return replace(made, times=made.times[:-1])


@fails("generation", "times end at 2 s and the audio at 1 s")
class OtherSeconds(Toy):
    def _generate(self, *given, **settings):
        made = super()._generate(*given, **settings)
        return replace(made, times=made.times * 2)


@fails("generation", "one hidden state for each position")
class ReplaysLess(Toy):
    def replay(self, generation, batch=1):
        return super().replay(generation, batch)[:, 1:]


@fails("generation", "cannot be written as JSON")
class ObjectSettings(Toy):
    def _generate(self, *given, **settings):
        made = super()._generate(*given, **settings)
        return replace(made, settings={**made.settings, "device": torch.device("cpu")})


@fails("generation", "must hold duration and guidance")
class ForgetsSettings(Toy):
    def _generate(self, *given, **settings):
        return replace(super()._generate(*given, **settings), settings={})


@fails("tokens", "in characters, not in bytes")
class BytesForCharacters(Toy):
    def tokenize(self, prompt):
        found = super().tokenize(prompt)
        starts = [len(prompt[: t.start].encode()) for t in found]
        return tuple(replace(t, start=a, end=a + len(prompt[t.start : t.end].encode()))
                     for t, a in zip(found, starts, strict=True))


@fails("tokens", "are not in the order of its characters")
class FindsTheFirst(Toy):
    """Spans by str.find: the second of two equal words gets the span of the first."""

    def tokenize(self, prompt):
        return tuple(t if t.special else replace(t, start=prompt.find(t.text), end=prompt.find(t.text) + len(t.text))
                     for t in super().tokenize(prompt))


@fails("tokens", "the word '🐶' of .* has no token")
class DropsSymbols(Toy):
    """A tokenizer that knows no emoji and leaves them out."""

    def tokenize(self, prompt):
        return tuple(t for t in super().tokenize(prompt) if t.text.isascii() or t.text.isalnum() or t.special)


@fails("tokens", "covers both")
class Pairs(Toy):
    def tokenize(self, prompt):
        *words, end = super().tokenize(prompt)
        return (*(replace(a, end=b.end) for a, b in zip(words[::2], words[1::2], strict=False)), end)


@fails("tokens", "has an empty span and is not special")
class Unmarked(Toy):
    def tokenize(self, prompt):
        return tuple(replace(t, special=False) for t in super().tokenize(prompt))


@fails("seed", "the same seed and settings make other audio")
class Unseeded(Toy):
    def _generate(self, prompt, tokens, *, seed, **settings):
        drawn = int(torch.randint(1 << 30, ()))
        return replace(super()._generate(prompt, tokens, seed=drawn, **settings), seed=seed)


@fails("seed", "changes the random state")
class SeedsTheWorld(Toy):
    def _generate(self, *given, seed, **settings):
        torch.manual_seed(seed)
        return super()._generate(*given, seed=seed, **settings)


@fails("seed", "another seed makes the same audio")
class OneSeed(Toy):
    def _generate(self, *given, seed, **settings):
        return replace(super()._generate(*given, seed=0, **settings), seed=seed)


@fails("errors", "an unknown setting of generate is accepted")
class TakesAnything(Toy):
    def _generate(self, *given, seed, duration, guidance, **settings):
        return super()._generate(*given, seed=seed, duration=duration, guidance=guidance)


@fails("errors", "tokenize cuts a prompt that is too long")
class Truncates(Toy):
    def tokenize(self, prompt):
        return super().tokenize(prompt)[: self.max_tokens]


@fails("errors", "raises TypeError: raise CheckpointError")
class OddError(Toy):
    @classmethod
    def from_checkpoint(cls, checkpoint, *, device="cpu", dtype="float32"):
        raise TypeError("no")
