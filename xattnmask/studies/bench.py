"""Evaluating as a study was set up: whole methods, or explanations that it makes itself."""

from __future__ import annotations

from collections.abc import Sequence

from ..evaluation import evaluate
from ..evaluation.plan import Methods, Plan, checked_metrics
from ..evaluation.run import takes_sounds
from ..evaluation.scoring import Bench
from ..evaluation.table import Evaluation
from ..plugins.offers import Case
from .base import Setup

LIMIT = 30
"""Captions that are taken of a world when nothing is said."""


def evaluated(setup: Setup, methods: Methods, cases: Sequence[Case] | None = None,
              folder: str = "evaluation") -> Evaluation:
    """``methods`` on ``cases``, or on the prompts of ``setup``; in ``folder`` of the study's, to go on there."""
    prompts, limit = (setup.prompts, setup.limit) if cases is None else (cases, None)
    if prompts is None and limit is None:
        limit = LIMIT
    return evaluate(
        setup.model, prompts, methods=methods, judge=setup.judge, world=setup.world,
        seed=setup.seed, out=None if setup.out is None else setup.out / folder, duration=setup.duration,
        guidance=setup.guidance, generate=setup.generate, repeats=setup.repeats, limit=limit, split=setup.split,
        on_prompt=setup.on_prompt)


def bench_of(setup: Setup, methods: Methods, metrics: tuple[str, ...] | None = None) -> Bench:
    """The bench that :func:`xattnmask.evaluate` would have for ``setup``; metrics by what there is, as there."""
    judge, world = setup.judge, setup.world
    checked = checked_metrics(metrics, judge is not None, world is not None)
    truth = "given" if takes_sounds(setup.model) else "generated"
    plan = Plan(methods, checked, setup.seed, setup.repeats, truth=truth, generate=setup.sound_settings())
    return Bench(setup.model, plan, judge, world)
