"""AtMan: how far each position's state goes when a token's attention is suppressed (Deiseroth et al., 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..adapter import Adapter
from ..errors import SettingError
from ..generation import Generation
from ..patching import Rule
from ..plugins.hookspecs import hookimpl
from .base import Method
from .one_by_one import Groups, OneByOne, OneByOneSettings, without
from .settings import check_choices, check_range


@dataclass(frozen=True)
class AtManSettings(OneByOneSettings):
    """As :class:`OneByOneSettings`, and how a token is suppressed.

    Attributes:
        factor: what a suppressed token's score is multiplied by: 1 changes nothing, 0 suppresses most. The paper's f of
            0.9 is 0.1 here.
        rule: ``suppress``, the paper's, moves the score before the softmax towards the lowest of its query; ``bias``
            multiplies the exponential of the score, so that a token at 0 is gone.
        concept: also suppress tokens whose embeddings have at least this cosine with a suppressed one's; the less
            alike, the less. None, by default, suppresses none besides.
    """

    factor: float = 0.1
    rule: Literal["suppress", "bias"] = "suppress"
    concept: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("factor", self.factor, 0, 1)
        check_choices(self, {"rule": ("suppress", "bias")})
        if self.concept is not None:
            check_range("concept", self.concept, 0, 1)


class AtMan(OneByOne):
    """The change of each state under attention manipulation (arXiv 2301.08110), in place of the loss of one target."""

    name: ClassVar[str] = "atman"
    settings: ClassVar[type[OneByOneSettings]] = AtManSettings

    def _rule(self, settings: AtManSettings) -> Rule:
        return settings.rule

    def _masks(self, model: Adapter, generation: Generation, groups: Groups, settings: AtManSettings) -> Tensor:
        factors = without(groups, len(generation.tokens), settings.factor)
        if settings.concept is None:
            return factors
        embeddings = _embeddings(model, generation).cpu()
        return torch.minimum(factors, like_them(embeddings, groups, settings.factor, settings.concept))


def like_them(embeddings: Tensor, groups: Groups, factor: float, least: float) -> Tensor:
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
