"""Masked replays of an autoregressive generation: one forward, all positions at once, under a context, at a depth."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from ..adapter import Adapter
from ..devices import input_device
from ..errors import SettingError
from ..generation import Generation
from ..objective import Similarity
from ..patching import (
    Intervention,
    Layers,
    Rule,
    capture_attention,
    frozen_history,
    intercept,
    no_history,
    patch,
    record_history,
)
from ..sites import Site
from .common import CONTEXTS, DEPTHS, Context, Depth, OnPass, check_choice, finite, has_history, mask_roles
from .grid import Grid


class Replayer:
    """Replays one generation under masks.

    Args:
        model: the adapter that made the generation.
        generation: what is replayed.
        context: what history each position sees. ``none``: none at all, the text alone explains it. ``frozen``: the
            history as it was generated. ``joint``: a history that the mask changes too, as it does when audio is
            regenerated. ``isolated``: none, as the authors' code has it, where each position is a sequence of its own
            at position 0; slower than ``none``, and the model does not know the time.
        depth: ``cross`` masks the sites where audio reads text (the paper); ``encoder`` removes words inside the text
            encoder as well, as far as no position needs them.
        rule, layers, heads: as in :func:`xattnmask.patch`.
    """

    parts: Sequence[slice] = (slice(None),)
    """All positions go through one forward."""
    similarity: Similarity = "cosine"
    """How states are compared where nothing is said."""
    grid: Grid | None = None
    """An autoregressive generation has no cells."""
    streams: Sequence[str] | None = None
    """It reads one text."""

    def __init__(self, model: Adapter, generation: Generation, *, context: Context = "none", depth: Depth = "cross",
                 rule: Rule = "scale", layers: Layers = "all", heads: Sequence[int] | None = None):
        check_choice("context", context, CONTEXTS)
        check_choice("depth", depth, DEPTHS)
        self.model, self.generation, self.context, self.depth = model, generation, context, depth
        self.num_tokens = len(generation.tokens)
        self.roles = mask_roles(model, self.num_tokens, depth)
        _check_context(model, self.num_tokens, context, depth)
        self.rule, self.layers, self.heads = rule, layers, heads
        self._recorded = self._record() if context == "frozen" else {}

    def clean(self, *, history: bool = True) -> Tensor:
        """Final hidden states [positions, width] without a mask; without history each position sees the text alone."""
        with ExitStack() as stack, torch.no_grad():
            if not history and self.context == "isolated":
                return finite(self.model.replay_isolated(self.generation)[0], "the unmasked replay")
            if not history:
                stack.enter_context(no_history(self.model, self.num_tokens))
            return finite(self.model.replay(self.generation)[0], "the unmasked replay")

    def masked(self, masks: Tensor, part: slice = slice(None)) -> Tensor:
        """Final hidden states [batch, positions, width] under masks [batch, positions, tokens] or [batch, tokens]."""
        isolated = self.context == "isolated"
        if isolated:
            masks = self._row_for_each_position(masks)
        with ExitStack() as stack:
            stack.enter_context(patch(self.model, masks, rule=self.rule, layers=self.layers, heads=self.heads,
                                      roles=self.roles))
            self._enter_context(stack)
            if isolated:
                return self.model.replay_isolated(self.generation, batch=len(masks) // self.positions)
            return self.model.replay(self.generation, batch=len(masks))

    def attention(self) -> Tensor:
        """Attention of each position on each token, mean over sites and heads, float32 [positions, tokens]."""
        seen: list[Tensor] = []

        def add(_: Site, probabilities: Tensor) -> None:
            mean = probabilities[0].mean(0)
            seen[:] = [seen[0] + mean, seen[1] + 1] if seen else [mean, mean.new_ones(())]

        with torch.no_grad(), capture_attention(self.model, add, num_tokens=self.num_tokens, layers=self.layers):
            self.model.replay(self.generation)
        return seen[0] / seen[1]

    def watched(self, interventions: Sequence[tuple[Site, Intervention]], on_pass: OnPass) -> None:
        """Replay without a mask in the context while interventions look at attention; hand the states on.

        Runs under the caller's grad mode, ``on_pass`` inside of the interventions.
        """
        with ExitStack() as stack:
            stack.enter_context(intercept(self.model.backbone, interventions, self.model.conditional_rows))
            self._enter_context(stack)
            on_pass(slice(0, self.positions), self.model.replay(self.generation)[0])

    def by_position(self, site: Site, values: Tensor) -> Tensor:
        """What a site's queries hold, [1, queries, n], by position, [positions, n]: each query is one."""
        return values[0]

    def blank(self) -> Tensor:
        """Final hidden states [positions, width] when no token is read."""
        with torch.no_grad():
            device = input_device(self.model.backbone)
            return self.masked(torch.zeros(1, self.num_tokens, device=device))[0]

    @property
    def positions(self) -> int:
        """How many positions there are."""
        return int(self.generation.positions.max()) + 1

    def _row_for_each_position(self, masks: Tensor) -> Tensor:
        """[batch, positions, tokens] or [batch, tokens] to [batch * positions, tokens]."""
        if masks.ndim == 2:
            masks = masks[:, None].expand(-1, self.positions, -1)
        return masks.flatten(0, 1)

    def _enter_context(self, stack: ExitStack) -> None:
        if self.context == "none":
            stack.enter_context(no_history(self.model, self.num_tokens))
        elif self.context == "frozen":
            stack.enter_context(frozen_history(self.model, self.num_tokens, self._recorded))

    def _record(self) -> dict[str, tuple[Tensor, Tensor]]:
        with torch.no_grad(), record_history(self.model, self.num_tokens) as recorded:
            self.model.replay(self.generation)
        return dict(recorded)


def _check_context(model: Adapter, num_tokens: int, context: Context, depth: Depth) -> None:
    if context == "isolated":
        if depth != "cross":
            raise SettingError("context 'isolated' has depth 'cross' alone: use context='none'")
    elif context != "joint" and not has_history(model, num_tokens):
        raise SettingError(f"model {model.key!r} cannot leave out its history: use context='joint'")
