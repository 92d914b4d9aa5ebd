"""What a study evaluates prompts with when it scores explanations itself."""

from __future__ import annotations

from ..evaluation.plan import Methods, Plan, checked_metrics
from ..evaluation.run import takes_sounds
from ..evaluation.scoring import Bench
from .base import Setup


def bench_of(setup: Setup, methods: Methods, metrics: tuple[str, ...] | None = None) -> Bench:
    """The bench that :func:`xattnmask.evaluate` would have for ``setup``; metrics by what there is, as there."""
    judge, world = setup.judge, setup.world
    checked = checked_metrics(metrics, judge is not None, world is not None)
    truth = "given" if takes_sounds(setup.model) else "generated"
    plan = Plan(methods, checked, setup.seed, setup.repeats, truth=truth, generate=setup.sound_settings())
    return Bench(setup.model, plan, judge, world)
