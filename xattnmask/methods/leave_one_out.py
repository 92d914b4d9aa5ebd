"""Leave-one-out: how far each position's state turns, or moves, when a token is masked away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..adapter import Adapter
from ..generation import Generation
from ..patching import RULES, Rule
from ..plugins.hookspecs import hookimpl
from .base import Method
from .one_by_one import Groups, OneByOne, OneByOneSettings, without
from .settings import check_choices


@dataclass(frozen=True)
class LeaveOneOutSettings(OneByOneSettings):
    """As :class:`OneByOneSettings`; ``rule`` as in the learned mask."""

    rule: Rule = "scale"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, {"rule": RULES})


class LeaveOneOut(OneByOne):
    """1 - cos between the states with and without a token, by position, both in the same context; or their error."""

    name: ClassVar[str] = "leave-one-out"
    settings: ClassVar[type[OneByOneSettings]] = LeaveOneOutSettings

    def _rule(self, settings: LeaveOneOutSettings) -> Rule:
        return settings.rule

    def _masks(self, model: Adapter, generation: Generation, groups: Groups, settings: LeaveOneOutSettings) -> Tensor:
        return without(groups, len(generation.tokens))


@hookimpl
def xattnmask_method() -> Method:
    """Leave-one-out."""
    return LeaveOneOut()
