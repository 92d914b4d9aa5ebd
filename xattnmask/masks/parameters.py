"""What is learned: logits [positions, tokens], directly or as the output of the paper's explainer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from ..adapter import Adapter
from ..devices import input_device
from ..errors import PluginError, SettingError
from ..generation import Generation

Kind = Literal["logits", "mlp", "mlp-history"]
KINDS = ("logits", "mlp", "mlp-history")
HIDDEN = 512
"""Width of the explainer's hidden layer in the authors' code."""


class MaskParameters(nn.Module):
    """Base class: calling it gives the mask's logits, float32 [positions, tokens]."""


class Logits(MaskParameters):
    """One free logit for each position and token; ``start`` is their first value, or [positions, tokens] of them."""

    def __init__(self, positions: int, tokens: int, start: float | Tensor = 0.0):
        super().__init__()
        self.values = nn.Parameter(torch.as_tensor(start, dtype=torch.float32).expand(positions, tokens).clone())

    def forward(self) -> Tensor:
        return self.values


class StepwiseMLP(MaskParameters):
    """The explainer as published: for each position a network of its own, which reads the token's embedding alone.

    Width -> 512, PReLU, -> 1, for every position at once. Source: the authors' code for AudioGenX.
    """

    def __init__(self, positions: int, embeddings: Tensor):
        super().__init__()
        width = embeddings.shape[1]
        self.embeddings = nn.Buffer(embeddings)
        self.inner = nn.Parameter(_uniform((positions, width, HIDDEN), width))
        self.inner_bias = nn.Parameter(_uniform((positions, 1, HIDDEN), width))
        self.slope = nn.Parameter(torch.full((positions, 1, 1), 0.25))
        self.outer = nn.Parameter(_uniform((positions, HIDDEN, 1), HIDDEN))
        self.outer_bias = nn.Parameter(_uniform((positions, 1, 1), HIDDEN))

    def forward(self) -> Tensor:
        hidden = self.embeddings @ self.inner + self.inner_bias
        hidden = torch.where(hidden > 0, hidden, self.slope * hidden)
        return (hidden @ self.outer + self.outer_bias).squeeze(-1)


class PooledMLP(MaskParameters):
    """One network for all positions, which reads the token's embedding and that of the previous audio token.

    Source: the explainer of the paper's section on its method (arXiv 2502.00459), z = MLP([token; audio]).
    """

    def __init__(self, embeddings: Tensor, history: Tensor):
        super().__init__()
        positions, tokens = len(history), len(embeddings)
        pairs = [embeddings.expand(positions, -1, -1), history[:, None].expand(-1, tokens, -1)]
        self.pairs = nn.Buffer(torch.cat(pairs, dim=-1))
        self.network = nn.Sequential(nn.Linear(self.pairs.shape[-1], HIDDEN), nn.PReLU(), nn.Linear(HIDDEN, 1))

    def forward(self) -> Tensor:
        logits: Tensor = self.network(self.pairs).squeeze(-1)
        return logits


def build_parameters(kind: Kind, model: Adapter, generation: Generation, positions: int, *, seed: int,
                     start: float | Tensor = 0.0) -> MaskParameters:
    """The parameters of a mask over ``generation``, on the backbone's device, in float32; ``seed`` fixes their start.

    Raises:
        SettingError: unknown ``kind``, or one that needs embeddings the adapter does not give.
        PluginError: the adapter gives embeddings of a wrong shape.
    """
    device = input_device(model.backbone)
    if kind == "logits":
        return Logits(positions, len(generation.tokens), start).to(device)
    if kind == "mlp":
        tokens = _token_embeddings(model, generation)
        with _seeded(seed):
            return StepwiseMLP(positions, tokens).to(device)
    if kind == "mlp-history":
        tokens = _token_embeddings(model, generation)
        audio = _checked(model.audio_embeddings(generation), positions, f"audio embeddings of adapter {model.key!r}")
        with _seeded(seed):
            return PooledMLP(tokens, audio).to(device)
    raise SettingError(f"parameters must be one of {', '.join(KINDS)}, not {kind!r}")


def _token_embeddings(model: Adapter, generation: Generation) -> Tensor:
    found = model.token_embeddings(generation)
    return _checked(found, len(generation.tokens), f"token embeddings of adapter {model.key!r}")


def _checked(values: Tensor, rows: int, what: str) -> Tensor:
    """In float32 on the CPU, where the networks are made, so that their start is the same on every device."""
    if values.ndim != 2 or len(values) != rows:
        raise PluginError(f"the {what} are {list(values.shape)} where [{rows}, width] is needed")
    return values.detach().float().cpu()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The CPU's own generator seeded, and put back afterwards; no accelerator's is touched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _uniform(shape: tuple[int, ...], fan_in: int) -> Tensor:
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(shape).uniform_(-bound, bound)
