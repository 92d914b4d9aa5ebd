"""Leave-one-out: how far each position's state turns, or moves, when a token is masked away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch

from ..adapter import Adapter
from ..events import StepEvent
from ..generation import Generation
from ..objective import SIMILARITIES, Similarity, distances
from ..patching import RULES, Layers, Rule
from ..plugins.hookspecs import hookimpl
from ..replaying import (
    CONTEXTS,
    DEPTHS,
    Context,
    Depth,
    Replayer,
    StepReplayer,
    View,
    build_replayer,
    in_force,
)
from .base import Attribution, Method, OnStep
from .settings import check_choices, check_whole, settings_of

By = Literal["token", "word"]
"""What is left out, or masked, at a time."""
BY = ("token", "word")


@dataclass(frozen=True)
class LeaveOneOutSettings(View):
    """Settings of leave-one-out.

    Attributes:
        context, depth, rule, layers: as in the learned mask; ``joint`` by default.
        similarity: how far a state turns (``cosine``), or moves, as a share of what all tokens together move it
            (``error``); by default as in the learned mask.
        by: what is left out at a time, every ``token`` or every ``word`` with all its tokens.
        batch: how many tokens or words one forward leaves out, each in a row of its own.
    """

    context: Context = "joint"
    similarity: Similarity | None = None
    depth: Depth | None = None
    rule: Rule = "scale"
    layers: Layers = "all"
    by: By = "word"
    batch: int = 8

    def __post_init__(self) -> None:
        check_choices(self, {"context": CONTEXTS, "similarity": SIMILARITIES, "depth": DEPTHS, "rule": RULES, "by": BY})
        check_whole("batch", self.batch, 1)


class LeaveOneOut(Method):
    """1 - cos between the states with and without a token, by position, both in the same context; or their error."""

    name: ClassVar[str] = "leave-one-out"

    def steps(self, **settings: Any) -> int:
        settings_of(LeaveOneOutSettings, self.name, settings)
        return 1

    @torch.no_grad()
    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        s = settings_of(LeaveOneOutSettings, self.name, settings)
        replayer = build_replayer(model, generation, s, context=s.context, depth=s.depth, rule=s.rule, layers=s.layers)
        s = replace(s, similarity=s.similarity or replayer.similarity)
        target, groups = replayer.clean(history=s.context != "none"), groups_of(generation, s.by)
        blank = replayer.blank() if s.similarity == "error" else None
        count = -(-len(groups) // s.batch)
        parts = []
        for index in range(count):
            parts.append(effects(replayer, target, blank, groups[index * s.batch : (index + 1) * s.batch]))
            on_step(StepEvent(index, count, {}))
        importance = torch.stack(parts).amax(0).cpu()
        return Attribution(importance.numpy(), in_force(s, replayer), grid=replayer.grid)


@torch.no_grad()
def effects(
    replayer: Replayer | StepReplayer, target: torch.Tensor, blank: torch.Tensor | None,
    groups: Sequence[tuple[int, ...]], masks: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    """How far each state goes when each group of tokens is left out, float32 [positions, tokens], in one batch.

    A token of no group has 0, and one of several its largest. ``target`` and ``blank`` as in
    :func:`xattnmask.objective.distances`; ``masks`` [groups, tokens] is what each group's row does in place of leaving
    it out.
    """
    if masks is None:
        masks = without(groups, replayer.num_tokens, target.device)
    found = torch.zeros(len(target), replayer.num_tokens, device=target.device)
    far = distances(replayer.masked(masks), target, blank).clamp(min=0)  # rounding gives -1e-7
    for group, row in zip(groups, far, strict=True):
        found[:, list(group)] = torch.maximum(found[:, list(group)], row[:, None])
    return found


def groups_of(generation: Generation, by: str) -> list[tuple[int, ...]]:
    """Tokens to leave out together; tokens of no word stand alone."""
    tokens = range(len(generation.tokens))
    if by == "token":
        return [(token,) for token in tokens]
    words = [word.tokens for word in generation.words if word.tokens]
    alone = set(tokens) - {token for word in words for token in word}
    return words + [(token,) for token in sorted(alone)]


def without(
    groups: Sequence[tuple[int, ...]], tokens: int, device: torch.device, value: float = 0.0
) -> torch.Tensor:
    """Masks [groups, tokens], each of ones but for ``value`` at the tokens of its group."""
    masks = torch.ones(len(groups), tokens, device=device)
    for row, group in zip(masks, groups, strict=True):
        row[list(group)] = value
    return masks


@hookimpl
def xattnmask_method() -> Method:
    """Leave-one-out."""
    return LeaveOneOut()
