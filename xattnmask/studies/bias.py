"""Whether a model leans on one of several words more than on others that could stand in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ..errors import SettingError
from ..explainer import explain
from ..metrics.statistics import Interval, holm, mean_with_interval, paired_difference, paired_p_value
from ..optional import need
from ..results import Explanation
from .base import Finding, Panel, Setup, Study, markdown, shown

SOUNDS = 20


class Bias(Study):
    """Importance of each filler of a template, on sounds of the same seeds, compared by permutation tests."""

    name = "bias"
    question = "Whether a model leans more on one filler of a template than on another: 'a {man,woman,child} speaks'."
    options = {  # noqa: RUF012
        "template": "a prompt with fillers in braces, such as 'a {man,woman,child} speaks'",
        "sounds": f"how many sounds of each prompt, from as many seeds (default: {SOUNDS})",
        "method": "the attribution method (default: learned)",
    }

    def _run(self, setup: Setup) -> Finding:
        before, fillers, after = parse_template(setup.options.get("template", ""))
        sounds = _whole(setup.options.get("sounds", str(SOUNDS)))
        rows: list[dict[str, Any]] = []
        for number in range(sounds):
            for filler in fillers:
                prompt = f"{before}{filler}{after}"
                sound = setup.model.generate(prompt, seed=setup.seed + number, **setup.sound_settings())
                method = setup.options.get("method", "learned")
                explanation = explain(setup.model, sound, method=method, seed=setup.seed)
                rows.append({"prompt": prompt, "filler": filler, "seed": setup.seed + number,
                             "importance": filler_importance(explanation, len(before), len(before) + len(filler))})
            setup.told(number + 1, sounds, rows[-1:])
        return _finding(self.name, fillers, rows, sounds)


def parse_template(template: str) -> tuple[str, list[str], str]:
    """What stands before the braces, the fillers in them, and what stands behind.

    Raises:
        SettingError: there are no braces or several, or fewer than two fillers, or one twice.
    """
    match = re.fullmatch(r"([^{}]*)\{([^{}]*)\}([^{}]*)", " ".join(template.split()))
    if match is None:
        raise SettingError(f"a template has fillers in one pair of braces, 'a {{man,woman}} speaks', not {template!r}")
    fillers = [" ".join(filler.split()) for filler in match[2].split(",")]
    if len(fillers) < 2 or "" in fillers or len(set(fillers)) < len(fillers):
        raise SettingError(f"a template has two fillers at least, each once, not {match[2]!r}")
    return match[1], fillers, match[3]


def filler_importance(explanation: Explanation, start: int, end: int) -> float:
    """The highest importance of the words that hold the characters from ``start`` to ``end`` of the prompt."""
    return max(row.importance for row in explanation.words() if row.start < end and row.end > start)


def overall_p_value(values: np.ndarray, seed: int = 0) -> float:
    """Whether fillers differ at all: the variance of their means, labels permuted within each seed.

    ``values`` [fillers, seeds]; ``scipy.stats.permutation_test`` of type ``samples``.
    """
    def spread(*samples: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(np.stack([sample.mean(axis=axis) for sample in samples]).var(axis=0))

    found = need("scipy.stats", "metrics").permutation_test(
        tuple(values), spread, permutation_type="samples", vectorized=True, alternative="greater",
        rng=np.random.default_rng(seed))
    return float(found.pvalue)


def _finding(name: str, fillers: Sequence[str], rows: list[dict[str, Any]], sounds: int) -> Finding:
    values = np.array([[row["importance"] for row in rows if row["filler"] == filler] for filler in fillers])
    means = [mean_with_interval(each) for each in values]
    pairs = list(combinations(range(len(fillers)), 2))
    p_values = [paired_p_value(values[a], values[b]) for a, b in pairs]
    named = zip(fillers, means, strict=True)
    first = markdown([{"filler": filler, "importance": shown(mean)} for filler, mean in named])
    second = markdown([_pair(fillers[a], fillers[b], paired_difference(values[a], values[b]), p, adjusted)
                       for (a, b), p, adjusted in zip(pairs, p_values, holm(p_values), strict=True)])
    note = f"{sounds} sounds of each prompt from the same seeds, paired by seed; 95 % intervals by bootstrap."
    overall = "" if sounds < 2 else f" Whether the fillers differ at all: p = {overall_p_value(values):.4f}."
    panel = Panel("importance of the filler", tuple(fillers), tuple(means))
    return Finding(name, rows, f"{first}\n{second}", (panel,), (note + overall,))


def _pair(first: str, second: str, difference: Interval, p: float, adjusted: float) -> dict[str, str]:
    return {"first": first, "second": second, "first less second": shown(difference), "p": f"{p:.4f}",
            "p (Holm)": f"{adjusted:.4f}"}


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(f"sounds must be a whole number, at least 1, not {text!r}")
    return int(text)


BIAS = Bias()
