"""Attention rollout: attention followed through the layers, residual paths included (Abnar and Zuidema, 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..adapter import Adapter
from ..events import StepEvent
from ..generation import Generation
from ..patching import CaptureProbabilities, select_sites
from ..plugins.hookspecs import hookimpl
from ..replaying import (
    DEPTHS,
    Depth,
    Replayer,
    StepReplayer,
    View,
    build_replayer,
    check_choice,
    in_force,
    sites_reading_tokens,
)
from ..sites import Site
from .base import Attribution, Method, OnStep
from .settings import check_range, settings_of


@dataclass(frozen=True)
class RolloutSettings(View):
    """Settings of attention rollout.

    Attributes:
        residual: the share of a layer's input that its residual path passes on; 1/2 in the paper.
        depth: ``cross`` takes the text encoder's states for the tokens that they stand over; ``encoder`` also rolls
            out the text encoder, which spreads each over the words that it read.
    """

    residual: float = 0.5
    depth: Depth = "cross"

    def __post_init__(self) -> None:
        check_range("residual", self.residual, 0, 1)
        check_choice("depth", self.depth, DEPTHS)


class Rollout(Method):
    """The share of each position that flows in from each token, if attention were all there is (arXiv 2005.00928)."""

    name: ClassVar[str] = "rollout"

    def steps(self, **settings: Any) -> int:
        settings_of(RolloutSettings, self.name, settings)
        return 1

    @torch.no_grad()
    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        chosen = settings_of(RolloutSettings, self.name, settings)
        replayer = build_replayer(model, generation, chosen, context="joint")
        importance = _RollingOut(replayer, chosen).run()
        on_step(StepEvent(0, 1, {}))
        return Attribution(importance.cpu().numpy(), in_force(chosen, replayer), grid=replayer.grid)


class _RollingOut:
    """Takes in each site's attention as it is computed, layer by layer, and keeps none of it.

    ``flow`` [n, N, L] is what flows from the L tokens into each of the N rows that a layer computes: the positions,
    stretches of audio, or all rows of a prefix model. At the first layer nothing has, but in a prefix model, where some
    rows are the tokens. With A the attention (mean over heads) and r the residual share

        self-attention            flow = r flow + (1 - r) A flow
        cross-attention           flow = r flow + (1 - r) A encoded

    ``encoded`` [n, L, L] being the same of the text encoder, or the identity.
    """

    def __init__(self, replayer: Replayer | StepReplayer, settings: RolloutSettings):
        self.replayer, self.residual = replayer, settings.residual
        self.reading = sites_reading_tokens(replayer.model, replayer.num_tokens, streams=replayer.streams)
        # a diffusion model's self-attention runs over other rows in each block
        self.others = [site for site in self._sites() if site.role == "self" and isinstance(replayer, Replayer)]
        if settings.depth == "encoder":
            streams = {site.stream for site in self.reading}
            encoders = select_sites(self._sites(), roles=("text-encoder",))
            self.others += [site for site in encoders if site.stream in streams and site.standins is None]
        self._forget()

    def run(self) -> Tensor:
        """What flows from each token into each position, [positions, tokens]."""
        parts: list[Tensor] = []

        def keep(part: slice, states: Tensor) -> None:
            parts.append(self._result())
            self._forget()

        whole = [replace(s, keys=None, queries=slice(None)) if s.role == "prefix" else s for s in self.reading]
        capture = CaptureProbabilities(self._take_in)
        self.replayer.watched([(site, capture) for site in (*whole, *self.others)], keep)
        return torch.cat(parts)

    def _sites(self) -> Sequence[Site]:
        return self.replayer.model.sites(self.replayer.num_tokens)

    def _forget(self) -> None:
        self.flow: Tensor | None = None
        self.encoded: dict[str, Tensor] = {}

    def _take_in(self, site: Site, probabilities: Tensor) -> None:
        attention = probabilities.mean(1)  # [n, queries, keys]
        if site.role == "text-encoder":
            attention = attention[:, _tokens_of(site, self.replayer.num_tokens)]
            self.encoded[site.stream] = self._rolled(self._text(site.stream, attention), attention)
        elif site.role == "cross":
            self._cross(site, attention)
        elif site.role == "prefix":
            flow = self._prefix(site, attention) if self.flow is None else self.flow
            self.flow = self._rolled(flow, attention)
        elif self.flow is not None:
            self.flow = self._rolled(self.flow, attention)

    def _cross(self, site: Site, attention: Tensor) -> None:
        tokens = self.replayer.num_tokens
        by_position = self.replayer.by_position(site, attention).reshape(len(attention), -1, tokens)
        read = by_position @ self._text(site.stream, attention)
        flow = torch.zeros_like(read) if self.flow is None else self.flow
        self.flow = self.residual * flow + (1 - self.residual) * read

    def _rolled(self, flow: Tensor, attention: Tensor) -> Tensor:
        return self.residual * flow + (1 - self.residual) * (attention @ flow)

    def _text(self, stream: str, like: Tensor) -> Tensor:
        """How tokens flow into the text encoder's states, [n, L, L]."""
        tokens = self.replayer.num_tokens
        fresh = torch.eye(tokens, device=like.device).expand(len(like), -1, -1)
        return self.encoded.get(stream, fresh)

    def _prefix(self, site: Site, attention: Tensor) -> Tensor:
        """Before the first layer of a prefix model, [n, N, L]: the rows of tokens hold them, the others nothing."""
        flow = attention.new_zeros(*attention.shape[:2], self.replayer.num_tokens)
        original = self._original(site)
        flow[:, _tokens_of(original, self.replayer.num_tokens)] = self._text(original.stream, attention)
        return flow

    def _original(self, site: Site) -> Site:
        """The site as the adapter described it."""
        return next(s for s in self.reading if s.path == site.path)

    def _result(self) -> Tensor:
        assert self.flow is not None
        if self.reading[0].role == "prefix":
            return self.replayer.by_position(self.reading[0], self.flow[:, self.reading[0].queries])
        return self.flow.flatten(0, 1)


def _tokens_of(site: Site, tokens: int) -> slice | list[int]:
    """Which of a sequence's rows hold the prompt's tokens."""
    if site.keys is None:
        return slice(0, tokens)
    return site.keys if isinstance(site.keys, slice) else list(site.keys)


@hookimpl
def xattnmask_method() -> Method:
    """Attention rollout."""
    return Rollout()
