"""Adapters whose replay, patch, precision or encoding has one fault, as in faults.py."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from xattnmask import Generation, SettingError, Site

from ..toy_plugin import WIDTH, Toy
from .faults import fails


@fails("ones", "the mask has 8 tokens and site layers.0.cross has 7 text keys.*See Site.keys")
class OneKeyShort(Toy):
    def sites(self, num_tokens):
        short = slice(0, num_tokens - 1)
        return [replace(s, keys=short) if s.role == "cross" else s for s in super().sites(num_tokens)]


@fails("ones", "the replay must be deterministic")
class Restless(Toy):
    def replay(self, generation, batch=1):
        states = super().replay(generation, batch)
        return states + 0.1 * torch.randn_like(states)


@fails("zeros", "stays the same without any word")
class Decoy(Toy):
    """The sites run, and what they give is thrown away."""

    def __init__(self, *given):
        super().__init__(*given)
        for layer in self.backbone.layers:
            layer.decoy = type(layer.cross)()
            layer.cross.register_forward_pre_hook(partial(self.waste, layer.decoy))

    @staticmethod
    def waste(decoy, _, args):
        decoy(*args)

    def sites(self, num_tokens):
        return [Site(f"layers.{i}.decoy", i) for i in range(2)]


@fails("leak", "another prompt still changes the replay", status="warned")
class OneLayerMissing(Toy):
    def sites(self, num_tokens):
        return [s for s in super().sites(num_tokens) if s.path != "layers.1.cross"]


@fails("leak", "it must encode the generation's own prompt")
class RemembersThePrompt(Toy):
    def replay(self, generation, batch=1):
        self.kept = getattr(self, "kept", generation.tokens)
        return super().replay(replace(generation, tokens=self.kept), batch)


@fails("gradient", "no gradient comes through replay")
class NoGrad(Toy):
    @torch.no_grad()
    def replay(self, generation, batch=1):
        return super().replay(generation, batch)


@fails("gradient", "no gradient of the reading sites reaches the tokens")
class MasksATokenOut(Toy):
    """A padding mask that is one token too long."""

    def __init__(self, *given):
        super().__init__(*given)
        for layer in self.backbone.layers:
            layer.cross.forward = partial(self.attend, layer.cross)

    @staticmethod
    def attend(own, x, memory):
        kept = torch.arange(memory.shape[1]) > 0
        return own.o(scaled_dot_product_attention(own.q(x), own.k(memory), own.v(memory), attn_mask=kept))


@fails("batch", r"replay\(batch=3\) returns \[1, 25, 16\]")
class IgnoresBatch(Toy):
    def replay(self, generation, batch=1):
        return super().replay(generation)


@fails("batch", "rows must not depend on their mates")
class Mates(Toy):
    def replay(self, generation, batch=1):
        states = super().replay(generation, batch)
        return states + 0.1 * torch.arange(batch)[:, None, None]


@fails("batch", "the first mask of a batch of two does nothing")
class ReadsTheLastRow(Toy):
    def replay(self, generation, batch=1):
        return super().replay(generation, batch)[-1:].repeat(batch, 1, 1)


@fails("conditional", "the halves are swapped")
class Swapped(Toy):
    def conditional_rows(self, batch):
        return slice(batch // 2, batch) if self.guided else slice(0, batch)


@fails("conditional", r"rows \[1\] are conditional by conditional_rows and do not depend on the prompt")
class MasksBoth(Toy):
    def conditional_rows(self, batch):
        return slice(0, batch)


@fails("conditional", r"words would stay in")
class MasksNone(Toy):
    def conditional_rows(self, batch):
        return slice(0, 0) if self.guided else slice(0, batch)


@fails("conditional", "end the guidance in a `finally`")
class StaysGuided(Toy):
    def _generate(self, *given, **settings):
        made = super()._generate(*given, **settings)
        self.guided = True
        return made

    def replay(self, generation, batch=1):
        self.guided = False
        return super().replay(generation, batch)


@fails("replay", r"replay differs from generate at 25 of 25 positions \(first at 0")
class ReplaysOtherNoise(Toy):
    def replay(self, generation, batch=1):
        noise = generation.replay["noise"]
        return super().replay(replace(generation, replay={"noise": noise.roll(1, 1)}), batch)


@fails("replay", "generate has no query at 24 of 25 positions.*give Site.offset")
class NoOffset(Toy):
    """Frame by frame, as a key-value cache has it, and no site says where a query stands."""

    def __init__(self, *given):
        super().__init__(*given)
        self.whole, self.backbone.forward = self.backbone.forward, self.by_frame

    def by_frame(self, noise, text):
        if not self.guided:
            return self.whole(noise, text)
        return torch.cat([self.whole(noise[:, t : t + 1], text) for t in range(noise.shape[1])], 1)


@fails("causal", "the decoder is not causal")
class SeesTheFuture(Toy):
    def replay(self, generation, batch=1):
        states = super().replay(generation, batch)
        return states + 0.2 * states.roll(-1, 1)


@fails("causal", "does not change position 12")
class ShiftedStates(Toy):
    def replay(self, generation, batch=1):
        states = super().replay(generation, batch)
        return torch.cat([states[:, :1], states[:, :-1]], 1)


@fails("history", "a self-attention layer is missing among the sites of role self")
class ForgetsALayer(Toy):
    def sites(self, num_tokens):
        return [s for s in super().sites(num_tokens) if s.path != "layers.1.own"]


@fails("restoring", "reset the flag of guidance in a `finally`")
class NoFinally(Toy):
    def _generate(self, *given, **settings):
        forward = self.backbone.forward
        self.failed = True
        made = super()._generate(*given, **settings)
        self.failed, self.backbone.forward = False, forward
        return made

    def conditional_rows(self, batch):
        return slice(0, batch // 2) if self.guided or getattr(self, "failed", False) else slice(0, batch)


@fails("restoring", "generate swallows Stop")
class Swallows(Toy):
    def _generate(self, prompt, tokens, *, seed, duration, guidance, **settings):
        try:
            return super()._generate(prompt, tokens, seed=seed, duration=duration, guidance=guidance, **settings)
        except SettingError:
            raise
        except Exception:
            return Generation(prompt, np.zeros(1600, np.float32), 1600, tokens, seed, {}, "toy", "", np.arange(26) / 25,
                              np.arange(25)[:, None])


@fails("restoring", "remove the hooks you install, and those alone")
class ClearsHooks(Toy):
    def replay(self, generation, batch=1):
        try:
            return super().replay(generation, batch)
        finally:
            if torch.is_grad_enabled() is False and len(self.backbone.layers[0].cross._forward_hooks) == 1:
                self.backbone.layers[0].cross._forward_hooks.clear()


@fails("restoring", "something else after an interrupted run")
class KeepsState(Toy):
    """A streaming state that an interrupted run leaves behind."""

    state = 0

    def replay(self, generation, batch=1):
        self.state += 1
        states = super().replay(generation, batch) * self.state
        self.state = 0
        return states


@fails("bfloat16", "dtype='bfloat16' leaves all weights in another dtype")
class OneDtype(Toy):
    def __init__(self, checkpoint, device, dtype):
        super().__init__(checkpoint, device, "float32")


@fails("bfloat16", "refused: float32 alone", status="skipped")
class RefusesDtype(Toy):
    def __init__(self, checkpoint, device, dtype):
        if dtype != "float32":
            raise SettingError("float32 alone")
        super().__init__(checkpoint, device, dtype)


@fails("bfloat16", "a generation made in float32 on the CPU is not replayed")
class KeepsItsDtype(Toy):
    def replay(self, generation, batch=1):
        text = self.text(generation.tokens).expand(batch, -1, -1)
        return self.backbone(generation.replay["noise"].repeat(batch, 1, 1), text)


class Encodes(Toy):
    def _encode(self, prompt, tokens, audio, sample_rate):
        frames = len(audio) // 64
        return Generation(prompt, audio, sample_rate, tokens, 0, {}, self.key, "", np.arange(frames + 1) / 25,
                          np.arange(frames)[:, None], replay={"noise": torch.randn(1, frames, WIDTH)}, encoded=True)


@fails("encode", "must say encoded=True")
class EncodesSilently(Encodes):
    def _encode(self, *given):
        return replace(super()._encode(*given), encoded=False)


@fails("encode", "must keep its length")
class EncodesAHalf(Encodes):
    def _encode(self, prompt, tokens, audio, sample_rate):
        return super()._encode(prompt, tokens, audio[: len(audio) // 2], sample_rate)


@fails("explanation", "explaining fails: NumericalError")
class OverflowsInBatches(Toy):
    def replay(self, generation, batch=1):
        states = super().replay(generation, batch)
        return states * float("nan") if batch > 4 else states
