"""What the methods that Captum computes share: the library, imported when it is used, and the settings of masks."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from ..adapter import Adapter
from ..errors import MissingLibraryError
from ..generation import Generation
from ..patching import RULES, Layers, Rule
from ..replaying import CONTEXTS, DEPTHS, Context, Depth, View, build_replayer
from .forward import SCORES, MaskedForward, Score
from .one_by_one import BY, By
from .settings import check_choices, check_whole


@dataclass(frozen=True)
class CaptumSettings(View):
    """Settings of methods that Captum computes over the mask of words.

    Attributes:
        score: what is attributed, by position; as in :func:`xattnmask.masked_forward`.
        by: what the players are, words or tokens.
        context, depth, rule, layers: as in the learned mask.
        batch: the most masks that go through the model at once.
    """

    score: Score | None = None
    by: By = "word"
    context: Context | None = None
    depth: Depth | None = None
    rule: Rule = "scale"
    layers: Layers = "all"
    batch: int = 8

    def __post_init__(self) -> None:
        check_choices(self, {"score": SCORES, "by": BY, "context": CONTEXTS, "depth": DEPTHS, "rule": RULES})
        check_whole("batch", self.batch, 1)


def forward_of(
    model: Adapter, generation: Generation, settings: CaptumSettings, context: Context | None
) -> MaskedForward:
    """The masked forward that is handed to Captum."""
    replayer = build_replayer(model, generation, settings, context=context, depth=settings.depth, rule=settings.rule,
                              layers=settings.layers)
    return MaskedForward(replayer, by=settings.by, score=settings.score or replayer.similarity, output="positions",
                         batch=settings.batch)


def captum() -> Any:
    """The module ``captum.attr``, or MissingLibraryError with the line to type."""
    try:
        return importlib.import_module("captum.attr")
    except ImportError as error:
        raise MissingLibraryError('captum is not installed: pip install "xattnmask[captum]"') from error
