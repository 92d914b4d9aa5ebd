"""One word or token less at a time, and how far each position's state goes: what leave-one-out and AtMan share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ..adapter import Adapter
from ..events import StepEvent
from ..generation import Generation
from ..objective import SIMILARITIES, Similarity, distances
from ..patching import Layers, Rule
from ..replaying import CONTEXTS, DEPTHS, Context, Depth, Replayer, StepReplayer, View, build_replayer, in_force
from .base import Attribution, Method, OnStep
from .settings import check_choices, check_whole, settings_of

By = Literal["token", "word"]
"""What is masked at a time."""
BY = ("token", "word")
Groups = Sequence[tuple[int, ...]]
"""The tokens that are masked together."""


@dataclass(frozen=True)
class OneByOneSettings(View):
    """Settings of methods that mask one word or token at a time.

    Attributes:
        context, depth, layers: as in the learned mask; ``joint`` by default.
        similarity: how far a state turns (``cosine``), or moves, as a share of what all tokens together move it
            (``error``); by default as in the learned mask.
        by: what is masked at a time, every ``token`` or every ``word`` with all its tokens.
        batch: how many tokens or words one forward masks, each in a row of its own.
    """

    context: Context = "joint"
    similarity: Similarity | None = None
    depth: Depth | None = None
    layers: Layers = "all"
    by: By = "word"
    batch: int = 8

    def __post_init__(self) -> None:
        check_choices(self, {"context": CONTEXTS, "similarity": SIMILARITIES, "depth": DEPTHS, "by": BY})
        check_whole("batch", self.batch, 1)


class OneByOne(Method):
    """The change of each state, by position, when each word or token is masked; both states in the same context."""

    settings: ClassVar[type[OneByOneSettings]]

    def steps(self, **settings: Any) -> int:
        settings_of(self.settings, self.name, settings)
        return 1

    @torch.no_grad()
    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        s = settings_of(self.settings, self.name, settings)
        replayer = build_replayer(model, generation, s, context=s.context, depth=s.depth, rule=self._rule(s),
                                  layers=s.layers)
        s = replace(s, similarity=s.similarity or replayer.similarity)
        target, groups = replayer.clean(history=s.context != "none"), groups_of(generation, s.by)
        blank = replayer.blank() if s.similarity == "error" else None
        masks, count = self._masks(model, generation, groups, s).to(target.device), -(-len(groups) // s.batch)
        parts = []
        for index in range(count):
            chosen = slice(index * s.batch, (index + 1) * s.batch)
            parts.append(effects(replayer, target, blank, groups[chosen], masks[chosen]))
            on_step(StepEvent(index, count, {}))
        importance = torch.stack(parts).amax(0).cpu()
        return Attribution(importance.numpy(), in_force(s, replayer), grid=replayer.grid)

    @abstractmethod
    def _rule(self, settings: Any) -> Rule:
        """How masks act on attention."""

    @abstractmethod
    def _masks(self, model: Adapter, generation: Generation, groups: Groups, settings: Any) -> Tensor:
        """What each group's row has in place of ones, [groups, tokens]."""


@torch.no_grad()
def effects(replayer: Replayer | StepReplayer, target: Tensor, blank: Tensor | None, groups: Groups,
            masks: Tensor) -> Tensor:
    """How far each state goes under the mask of each group, float32 [positions, tokens], in one batch.

    A token of no group has 0, and one of several its largest. ``target`` and ``blank`` as in
    :func:`xattnmask.objective.distances`; ``masks`` [groups, tokens].
    """
    found = torch.zeros(len(target), replayer.num_tokens, device=target.device)
    far = distances(replayer.masked(masks), target, blank).clamp(min=0)  # rounding gives -1e-7
    for group, row in zip(groups, far, strict=True):
        found[:, list(group)] = torch.maximum(found[:, list(group)], row[:, None])
    return found


def groups_of(generation: Generation, by: str) -> list[tuple[int, ...]]:
    """Tokens to mask together; tokens of no word stand alone."""
    tokens = range(len(generation.tokens))
    if by == "token":
        return [(token,) for token in tokens]
    words = [word.tokens for word in generation.words if word.tokens]
    alone = set(tokens) - {token for word in words for token in word}
    return words + [(token,) for token in sorted(alone)]


def without(groups: Groups, tokens: int, value: float = 0.0) -> Tensor:
    """Masks [groups, tokens], each of ones but for ``value`` at the tokens of its group."""
    masks = torch.ones(len(groups), tokens)
    for row, group in zip(masks, groups, strict=True):
        row[list(group)] = value
    return masks
