"""How importance by frame should become one number a word."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import SettingError, XattnmaskError
from ..evaluation import Evaluation
from ..evaluation.run import takes_sounds
from ..explainer import explain
from ..generation import Generation
from ..metrics import truth_scores
from ..plugins.offers import Case
from ..results import Explanation
from .base import Finding, Setup, Study
from .variants import panels_of

AGGREGATES = ("mean", "max", "loudness", "attention")
LIMIT = 100


class Aggregation(Study):
    """Word AUC of each aggregate over time, on a world whose causes are known."""

    name = "aggregation"
    question = "How importance by frame should become one number a word: mean, max, weighted by loudness or attention."
    options = {"method": "the attribution method (default: learned)"}  # noqa: RUF012

    def _run(self, setup: Setup) -> Finding:
        if setup.world is None:
            raise SettingError("study 'aggregation' needs a world whose causes are known")
        cases, rows = setup.cases(LIMIT), []
        for number, case in enumerate(cases, 1):
            made = self._rows(setup, case)
            rows += [{"number": number, "prompt": case.prompt, **row} for row in made]
            setup.told(number, len(cases), rows[-1:])
        found = Evaluation(rows, AGGREGATES)
        note = (f"Means over {len(cases)} prompts with 95 % intervals; a star marks what differs from the first row "
                "(p < .05, paired, after Holm).")
        return Finding(self.name, rows, found.to_markdown(), panels_of(found, ("word_auc",)), (note,))

    def _rows(self, setup: Setup, case: Case) -> list[dict[str, Any]]:
        try:
            sound = _sound(setup, case)
            method = setup.options.get("method", "learned")
            explanation = explain(setup.model, sound, method=method, seed=setup.seed)
            scores = {name: _word_auc(setup, case, explanation, name) for name in AGGREGATES}
        except XattnmaskError as error:
            return [{"method": name, "error": str(error)} for name in AGGREGATES]
        return [{"method": name, "error": None, "word_auc": _plain(score)} for name, score in scores.items()]


def word_scores(explanation: Explanation, aggregate: str) -> np.ndarray:
    """Importance by word, [words]; ``loudness`` weighs frames by the root mean square of the sound in them."""
    if aggregate == "loudness":
        weights = _loudness(explanation)
        return np.asarray(np.average(explanation.word_importance(), axis=0, weights=weights))
    return np.array([row.importance for row in explanation.words(aggregate)])  # type: ignore[arg-type]


def _loudness(explanation: Explanation) -> np.ndarray:
    """Root mean square by frame times the frame's duration, [frames]; durations alone where all is silent."""
    audio = np.atleast_2d(explanation.audio["audio"]).astype(np.float64)
    edges = np.round((explanation.times - explanation.times[0]) * explanation.sample_rate).astype(int)
    power = [float(np.square(part).mean()) if part.size else 0.0
             for part in (audio[:, start:end] for start, end in pairwise(edges))]
    weights = np.sqrt(power) * explanation.durations
    return weights if weights.sum() > 0 else explanation.durations


def _word_auc(setup: Setup, case: Case, explanation: Explanation, aggregate: str) -> float:
    assert setup.world is not None
    truth, words = setup.world.truth(case, explanation.times), word_scores(explanation, aggregate)
    units = case.units or tuple((word,) for word in range(len(words)))
    importance = np.array([words[list(unit)].max() for unit in units])
    return truth_scores(np.broadcast_to(importance, truth.shape), truth)["word_auc"]


def _sound(setup: Setup, case: Case) -> Generation:
    """The world's own sound, whose truth is exact, where the model takes sounds in; else what the model makes."""
    assert setup.world is not None
    if takes_sounds(setup.model):
        return setup.model.encode(case.prompt, *setup.world.sound(case))
    return setup.model.generate(case.prompt, seed=setup.seed + case.seed, **setup.sound_settings())


def _plain(score: float) -> float | None:
    return None if np.isnan(score) else score


AGGREGATION = Aggregation()
