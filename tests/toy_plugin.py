"""A toy text-to-audio model with real attention, its adapter, a judge and a world: the plugin that the tests install.

Frames are noise from the seed, passed through causal self-attention and cross-attention on the text.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from xattnmask import (
    Adapter,
    Case,
    Checkpoint,
    CheckpointError,
    Generation,
    Judge,
    SettingError,
    Site,
    Token,
    World,
    hookimpl,
)
from xattnmask.text import word_spans

WIDTH, RATE, HOP = 16, 1600, 64


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x, memory=None):
        causal = memory is None
        memory = x if causal else memory
        return self.o(scaled_dot_product_attention(self.q(x), self.k(memory), self.v(memory), is_causal=causal))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.own, self.cross = Attention(), Attention()

    def forward(self, x, text):
        x = x + self.own(x)
        return x + 3 * self.cross(x, text)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(97, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, HOP)

    def forward(self, noise, text):
        for layer in self.layers:
            noise = layer(noise, text)
        return self.norm(noise)


class Toy(Adapter):
    key = "toy"
    library = "torch"
    max_tokens = 9
    max_duration = 2.0

    def __init__(self, checkpoint, device, dtype):
        self.checkpoint, self.device, self.dtype = checkpoint, device, dtype
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.backbone = Backbone().eval().to(device, getattr(torch, dtype))
        self.guided = False

    @classmethod
    def from_checkpoint(cls, checkpoint, *, device="cpu", dtype="float32"):
        try:
            content = json.loads(Path(checkpoint, "toy.json").read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{checkpoint} holds no toy: {error}") from error
        if content.get("fault"):
            raise {"OSError": OSError, "ImportError": ImportError}[content["fault"]]("what the library says\nof it")
        return cls(checkpoint, device, dtype)

    def tokenize(self, prompt):
        words = [Token(sum(map(ord, prompt[a:b])) % 97, prompt[a:b], a, b) for a, b in word_spans(prompt)]
        return (*words, Token(1, "</s>", len(prompt), len(prompt), special=True))

    def sites(self, num_tokens):
        return [Site(f"layers.{i}.{name}", i, role, stream=stream) for i in range(2)
                for name, role, stream in (("cross", "cross", "text"), ("own", "self", "audio"))]

    def conditional_rows(self, batch):
        return slice(0, batch // 2) if self.guided else slice(0, batch)

    def text(self, tokens):
        return self.backbone.words(torch.tensor([[token.id for token in tokens]], device=self.device))

    @torch.no_grad()
    def _generate(self, prompt, tokens, *, seed, duration, guidance, **settings):
        if settings:
            raise SettingError(f"the toy has no setting {', '.join(settings)}")
        frames = max(round(duration * RATE / HOP), 1)
        noise = torch.randn(1, frames, WIDTH, generator=torch.Generator().manual_seed(seed))
        noise = noise.to(self.device, self.backbone.head.weight.dtype)
        text, self.guided = self.text(tokens), True
        try:
            hidden = self.backbone(noise.repeat(2, 1, 1), torch.cat([text, torch.zeros_like(text)]))
        finally:
            self.guided = False
        mixed = hidden[1] + guidance * (hidden[0] - hidden[1])
        audio = torch.tanh(self.backbone.head(mixed)).flatten().float().cpu().numpy()
        return Generation(
            prompt=prompt, audio=audio, sample_rate=RATE, tokens=tokens, seed=seed, model=self.key,
            settings={"duration": duration, "guidance": guidance}, checkpoint=self.checkpoint,
            times=np.arange(frames + 1) * HOP / RATE, positions=np.arange(frames)[:, None], replay={"noise": noise},
        )

    def replay(self, generation, batch=1):
        text = self.text(generation.tokens).expand(batch, -1, -1)
        return self.backbone(generation.replay["noise"].to(text).repeat(batch, 1, 1), text)

    def replay_isolated(self, generation, batch=1):
        weight = self.backbone.head.weight
        rows = generation.replay["noise"].to(weight)[0, :, None].repeat(batch, 1, 1)
        text = self.text(generation.tokens).expand(len(rows), -1, -1)
        return self.backbone(rows, text).view(batch, -1, WIDTH)

    def token_embeddings(self, generation):
        return self.text(generation.tokens)[0]

    def audio_embeddings(self, generation):
        return generation.replay["noise"].to(self.backbone.head.weight)[0]


class ToyJudge(Judge):
    """Which third of the spectrum is the strongest."""

    labels = ("low", "middle", "high")

    @classmethod
    def load(cls, checkpoint=None, *, device="cpu"):
        if checkpoint is not None:
            raise OSError(f"no weights\nin {checkpoint}")
        return cls()

    def __call__(self, audio, sample_rate):
        thirds = np.array_split(np.abs(np.fft.rfft(np.atleast_2d(audio).mean(0))), 3)
        energy = np.array([np.square(third).mean() for third in thirds]) + 1e-9
        return (energy / energy.sum()).astype(np.float32)


class ToyWorld(World):
    """Its first word causes the first half of a sound and its second word the other; the toy knows nothing of it."""

    def cases(self, count, *, split="test", start=0):
        if split not in ("test", "validation"):
            raise SettingError(f"no split {split!r}")
        words = ["dog", "rain", "bell", "wind"] if split == "test" else ["siren", "drum", "clock", "bird"]
        for i in range(start, start + count):
            yield Case(f"{words[i % 4]} then {words[i // 4 % 4]}", i, {"kind": "two"}, ((0,), (1,), (2,)), i)

    def sound(self, case):
        return np.random.default_rng(case.seed).normal(size=RATE // 2).astype(np.float32), RATE

    def truth(self, case, times):
        first = np.arange(len(times) - 1) < (len(times) - 1) // 2
        return np.stack([first, np.zeros_like(first), ~first], 1)


@hookimpl
def xattnmask_judge():
    return ToyJudge


@hookimpl
def xattnmask_world():
    return ToyWorld()


@hookimpl
def xattnmask_adapter():
    return Toy


@hookimpl
def xattnmask_checkpoint():
    return Checkpoint("toy", Path(__file__).parent / "toy_weights", "the toy")
