"""AtMan: how far each position's state goes when a token's attention is suppressed (Deiseroth et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..adapter import Adapter
from ..errors import SettingError
from ..events import StepEvent
from ..generation import Generation
from ..objective import SIMILARITIES, Similarity
from ..patching import Layers
from ..plugins.hookspecs import hookimpl
from ..replaying import CONTEXTS, DEPTHS, Context, Depth, View, build_replayer, in_force
from .base import Attribution, Method, OnStep
from .leave_one_out import BY, By, effects, groups_of, without
from .settings import check_choices, check_range, check_whole, settings_of


@dataclass(frozen=True)
class AtManSettings(View):
    """Settings of AtMan.

    Attributes:
        factor: what a suppressed token's score is multiplied by: 1 changes nothing, 0 suppresses most. The paper's f of
            0.9 is 0.1 here.
        rule: ``suppress``, the paper's, moves the score before the softmax towards the lowest of its query; ``bias``
            multiplies the exponential of the score, so that a token at 0 is gone.
        concept: also suppress tokens whose embeddings have at least this cosine with a suppressed one's; the less
            alike, the less. None, by default, suppresses none besides.
        by: what is suppressed at a time, every ``token`` or every ``word`` with all its tokens.
        context, similarity, depth, layers, batch: as in leave-one-out.
    """

    factor: float = 0.1
    rule: Literal["suppress", "bias"] = "suppress"
    concept: float | None = None
    by: By = "word"
    context: Context = "joint"
    similarity: Similarity | None = None
    depth: Depth | None = None
    layers: Layers = "all"
    batch: int = 8

    def __post_init__(self) -> None:
        check_range("factor", self.factor, 0, 1)
        if self.concept is not None:
            check_range("concept", self.concept, 0, 1)
        check_choices(self, {"rule": ("suppress", "bias"), "by": BY, "context": CONTEXTS, "similarity": SIMILARITIES,
                             "depth": DEPTHS})
        check_whole("batch", self.batch, 1)


class AtMan(Method):
    """The change of each state under attention manipulation (arXiv 2301.08110), in place of the loss of one target."""

    name: ClassVar[str] = "atman"

    def steps(self, **settings: Any) -> int:
        settings_of(AtManSettings, self.name, settings)
        return 1

    @torch.no_grad()
    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        s = settings_of(AtManSettings, self.name, settings)
        replayer = build_replayer(model, generation, s, context=s.context, depth=s.depth, rule=s.rule, layers=s.layers)
        s = replace(s, similarity=s.similarity or replayer.similarity)
        target, groups = replayer.clean(history=s.context != "none"), groups_of(generation, s.by)
        blank = replayer.blank() if s.similarity == "error" else None
        factors = without(groups, replayer.num_tokens, target.device, s.factor)
        if s.concept is not None:
            factors = torch.minimum(factors, like_them(_embeddings(model, generation), groups, s.factor, s.concept))
        count = -(-len(groups) // s.batch)
        parts = []
        for index in range(count):
            chosen = slice(index * s.batch, (index + 1) * s.batch)
            parts.append(effects(replayer, target, blank, groups[chosen], factors[chosen]))
            on_step(StepEvent(index, count, {}))
        importance = torch.stack(parts).amax(0).cpu()
        return Attribution(importance.numpy(), in_force(s, replayer), grid=replayer.grid)


def like_them(embeddings: Tensor, groups: Sequence[tuple[int, ...]], factor: float, least: float) -> Tensor:
    """Factors [groups, tokens] that suppress what is like each group, from embeddings [tokens, width].

    A token whose cosine c with one of the group's is at least ``least`` gets factor + (1 - factor)(1 - c), as in the
    authors' code; the others 1.
    """
    unit = normalize(embeddings.float(), dim=-1)
    cosines = unit @ unit.T
    factors = torch.ones(len(groups), len(unit), device=unit.device)
    for row, group in zip(factors, groups, strict=True):
        alike = cosines[list(group)].amax(0).clamp(max=1)
        row[:] = torch.where(alike >= least, factor + (1 - factor) * (1 - alike), 1.0)
    return factors


def _embeddings(model: Adapter, generation: Generation) -> Tensor:
    try:
        return model.token_embeddings(generation)
    except SettingError as error:
        raise SettingError(f"adapter {model.key!r} gives no token embeddings to compare: use concept=None") from error


@hookimpl
def xattnmask_method() -> Method:
    """AtMan."""
    return AtMan()
