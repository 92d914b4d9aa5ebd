"""One prompt: its sound, explained by each method, and the scores of each explanation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..adapter import Adapter
from ..errors import XattnmaskError
from ..explainer import explain, mask_of, regenerate
from ..generation import Generation
from ..judges import probabilities
from ..metrics import (
    by_unit,
    deletion_curve,
    infidelity,
    insertion_curve,
    judged,
    sensitivity,
    size,
    truth_scores,
    word_mask,
)
from ..patching import patch
from ..plugins.offers import Case, Judge, World
from ..results import Explanation
from .plan import Plan

Row = dict[str, Any]


@dataclass
class Bench:
    """What prompts are evaluated with."""

    model: Adapter
    plan: Plan
    judge: Judge | None = None
    world: World | None = None

    def rows(self, case: Case) -> list[Row]:
        """One row for each method; what goes wrong is noted in the row as ``error``, whatever it is."""
        sounds = Sounds(self, case)
        return [self.row(case, name, partial(sounds.scores, *method)) for name, method in self.plan.methods.items()]

    def row(self, case: Case, name: str, scores: Callable[[], Row]) -> Row:
        """The row that is called ``name``, with ``scores`` of the prompt, or with the error that they ended in."""
        row: Row = {"prompt": case.prompt, **case.columns, "seed": self.plan.seed + case.seed, "method": name,
                    "error": None}
        try:
            row.update(scores())
        except XattnmaskError as error:
            row["error"] = " ".join(str(error).split())
        except Exception as error:
            row["error"] = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
        return row


@dataclass
class Sounds:
    """The sounds of one prompt, made when they are first needed, and scores of explanations of them."""

    bench: Bench
    case: Case
    heard: dict[bytes, float] = field(default_factory=dict)

    @cached_property
    def own(self) -> Generation:
        """What the model makes of the prompt."""
        plan = self.bench.plan
        return self.bench.model.generate(self.case.prompt, seed=plan.seed + self.case.seed, **plan.generate)

    @cached_property
    def given(self) -> Generation:
        """What the prompt sounds like in its world, taken in by the model."""
        assert self.bench.world is not None
        return self.bench.model.encode(self.case.prompt, *self.bench.world.sound(self.case))

    @cached_property
    def before(self) -> np.ndarray:
        """What the judge says of the model's own sound."""
        assert self.bench.judge is not None
        return probabilities(self.bench.judge, self.own.audio, self.own.sample_rate)

    def scores(self, method: str, settings: Mapping[str, Any]) -> Row:
        """All scores of a method, with its seconds and the words of its explanation."""
        self._sounds  # noqa: B018 - made before the clock starts
        start = time.perf_counter()
        explained = self.explained(method, settings)
        row: Row = {"seconds": (time.perf_counter() - start) / len(explained), "words": _words(explained[0])}
        return {**row, **self.measured(explained, method, settings)}

    def explained(self, method: str, settings: Mapping[str, Any]) -> list[Explanation]:
        """Explanations of the model's own sound, of the one that it is given, or of both, as the plan has it."""
        seed = self.bench.plan.seed
        return [explain(self.bench.model, sound, method=method, seed=seed, **settings) for sound in self._sounds]

    def measured(self, explained: list[Explanation], method: str = "learned",
                 settings: Mapping[str, Any] | None = None) -> Row:
        """Size and the plan's scores of explanations such as :meth:`explained` gives.

        ``method`` and ``settings``, by which they were made, are for metrics that explain again.
        """
        plan = self.bench.plan
        whole = mask_of(self.bench.model, self._sounds[0], explained[0], plan.mask)
        row: Row = {"size": size(whole)}
        for metric in plan.metrics:
            row.update(self._metric(metric, explained, method, settings or {}))
        return row

    @cached_property
    def _sounds(self) -> list[Generation]:
        plan = self.bench.plan
        return [*([self.own] if plan.own_sounds else []), *([self.given] if plan.given_sounds else [])]

    def _metric(self, metric: str, explained: list[Explanation], method: str, settings: Mapping[str, Any]) -> Row:
        model, plan = self.bench.model, self.bench.plan
        if metric == "fidelity":
            return self._fidelity(explained[0])
        if metric == "truth":
            return self._truth(explained[-1])
        if metric == "curves":
            return self._curves(explained[0])
        if metric == "infidelity":
            return {metric: infidelity(model, self.own, explained[0], seed=plan.seed)}
        return {metric: sensitivity(model, self.own, method, seed=plan.seed, **settings)}

    def _fidelity(self, explanation: Explanation) -> Row:
        bench = self.bench
        assert bench.judge is not None
        seeds = range(self.own.seed, self.own.seed + bench.plan.repeats)
        made = [regenerate(bench.model, self.own, explanation, seed=seed, mask=bench.plan.mask) for seed in seeds]
        sounds = {"f": [each["factual"] for each in made], "cf": [each["counterfactual"] for each in made]}
        label = bench.judge.labels[int(self.before.argmax())]
        return {"label": label, **judged(bench.judge, self.own.audio, sounds, self.own.sample_rate, bench.plan.top)}

    def _truth(self, explanation: Explanation) -> Row:
        case, world = self.case, self.bench.world
        assert world is not None
        importance, truth = explanation.word_importance(), world.truth(case, explanation.times)
        return dict(truth_scores(importance if case.units is None else by_unit(importance, case.units), truth))

    def _curves(self, explanation: Explanation) -> Row:
        importance = np.array([row.importance for row in explanation.words()])
        return {"deletion": deletion_curve(importance, self._hear).area,
                "insertion": insertion_curve(importance, self._hear).area}

    def _hear(self, kept: np.ndarray) -> float:
        """The probability of the top label when only some words are read; each set is made once for all methods."""
        found = self.heard.get(kept.tobytes())
        if found is None:
            assert self.bench.judge is not None
            with patch(self.bench.model, word_mask(kept, self.own.words, len(self.own.tokens))):
                made = self.bench.model.regenerate(self.own)
            after = probabilities(self.bench.judge, made.audio, made.sample_rate)
            found = self.heard[kept.tobytes()] = float(after[int(self.before.argmax())])
        return found


def _words(explanation: Explanation) -> list[tuple[str, float]]:
    return [(row.text, row.importance) for row in explanation.words()]
