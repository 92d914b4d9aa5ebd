"""Masks by denoising step, scored as one: each aggregate over steps, and each step by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, get_args

import numpy as np

from ..adapter import Adapter
from ..evaluation.run import subject
from ..evaluation.scoring import Bench, Row, Sounds
from ..evaluation.store import Store, clean
from ..metrics import by_unit, truth_scores
from ..metrics.statistics import mean_with_interval
from ..plugins.offers import Case
from ..results import Explanation
from ..results.steps import StepAggregate, over_frames
from .base import Panel, Setup
from .bench import bench_of


@dataclass(frozen=True)
class StepRows:
    """For each prompt a row for each aggregate over steps and, of a world, one for each step.

    All are of one explanation, with a mask for each step. An aggregate is scored as a mask that all steps share.

    Attributes:
        setup: of the study, in whose folder it goes on after an interruption.
        method, settings: by which they are explained.
        default: how many captions of a world are taken where nothing is said.
    """

    setup: Setup
    method: str
    settings: Mapping[str, Any]
    default: int

    def rows(self) -> list[Row]:
        """All rows by prompt, with the denoising ``step`` each is of, which is None for an aggregate."""
        cases, bench = self.setup.cases(self.default), bench_of(self.setup, {self.method: (self.method, self.settings)})
        store = self._store(bench, cases)
        done = {} if store is None else store.finished()
        missing = [number for number in range(len(cases)) if number not in done]
        for count, number in enumerate(missing, 1):
            done[number] = clean(list(self._of_case(bench, cases[number])))
            if store is not None:
                store.write(number, done[number])
            self.setup.told(count, len(missing), done[number])
        return [{"number": number + 1, **row} for number in sorted(done) for row in done[number]]

    def _store(self, bench: Bench, cases: Sequence[Case]) -> Store | None:
        setup = self.setup
        if setup.out is None:
            return None
        own = subject(setup.model, setup.judge, setup.world, setup.split)
        return Store(setup.out / "aggregates", {**bench.plan.as_dict(), **own}, cases)

    def _of_case(self, bench: Bench, case: Case) -> Iterator[Row]:
        sounds = Sounds(bench, case)
        explained = cache(partial(sounds.explained, self.method, self.settings))

        def scores(aggregate: StepAggregate) -> Row:
            return sounds.measured([as_one_mask(each, aggregate) for each in explained()])

        failed = False
        for name, aggregate in aggregates_of(bench.model).items():
            row = bench.row(case, name, partial(scores, aggregate))
            failed = failed or bool(row["error"])
            yield {**row, "step": None}
        if bench.world is not None and not failed:
            found = explained()[-1]  # of the sound whose truth is known
            yield from step_rows(found, bench.world.truth(case, found.times), case)


def reads_words(model: Adapter) -> bool:
    """Whether the audio reads the prompt's tokens one by one."""
    return any(site.role in ("cross", "prefix") for site in model.sites(1))


def aggregates_of(model: Adapter) -> dict[str, StepAggregate]:
    """The aggregates over steps that explanations of a model have, by what they are called in the table."""
    names: Sequence[StepAggregate] = get_args(StepAggregate)
    return {f"{name} over steps": name for name in names if name != "attention" or reads_words(model)}


def as_one_mask(explanation: Explanation, aggregate: StepAggregate) -> Explanation:
    """The explanation with its importance aggregated over steps, and with that at each of them."""
    assert explanation.step_time_importance is not None
    whole = explanation.over_steps(aggregate)
    cells = np.broadcast_to(whole.importance, explanation.step_time_importance.shape).copy()
    return replace(whole, step_time_importance=cells, step_importance=over_frames(cells, whole.durations))


def step_rows(explanation: Explanation, truth: np.ndarray, case: Case) -> Iterator[Row]:
    """For each step, how true its own importance is, and its mean where a unit causes the sound and elsewhere.

    ``truth`` is bool [times, units].
    """
    assert explanation.steps is not None and explanation.step_time_importance is not None
    for step, importance in zip(explanation.steps, explanation.step_time_importance, strict=True):
        found = replace(explanation, importance=importance).word_importance()
        found = found if case.units is None else by_unit(found, case.units)
        means = {"causes": float(found[truth].mean()) if truth.any() else None,
                 "others": float(found[~truth].mean()) if not truth.all() else None}
        yield {"prompt": case.prompt, "method": f"step {int(step) + 1}", "error": None, "step": int(step),
               **truth_scores(found, truth), **means}


def step_panels(rows: Sequence[Row]) -> tuple[Panel, ...]:
    """By denoising step: importance in causes and elsewhere, and frame AUC, means over prompts; none without rows."""
    steps = sorted({row["step"] for row in rows})
    if not steps:
        return ()
    labels = tuple(f"step {step + 1}" for step in steps)
    means = {score: tuple(mean_with_interval(_values(rows, step, score)) for step in steps)
             for score in ("causes", "others", "frame_auc")}
    return (Panel("importance by step", labels, means["causes"], True, means["others"], ("causes", "others")),
            Panel("frame AUC by step", labels, means["frame_auc"], True))


def _values(rows: Sequence[Row], step: int, score: str) -> np.ndarray:
    found = [row[score] for row in rows if row["step"] == step]
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)
