"""Studies that compare settings of the learned mask: each setting is a method, and all are evaluated alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..adapter import Adapter
from ..errors import SettingError
from ..evaluation.table import SCORES, Evaluation
from ..metrics.statistics import Interval
from .base import Finding, Panel, Setup, Study
from .bench import evaluated

Variants = dict[str, tuple[str, dict[str, Any]]]
COLD = {"start": 0.0, "steps": 10}
"""From 1/2 everywhere: there the steps do all, and what is varied shows; the default starts from leave-one-out."""
PLOTTED = ("frame_auc", "word_auc", "fid_f", "fid_cf", "size")


class VariantStudy(Study):
    """Evaluates variants of one method, the first of which the others are compared with."""

    def __init__(self, name: str, question: str, variants: Callable[[Adapter], Variants]) -> None:
        self.name, self.question, self._variants = name, question, variants

    def _run(self, setup: Setup) -> Finding:
        found = evaluated(setup, self._variants(setup.model))
        rows = [{name: value for name, value in row.items() if name != "words"} for row in found]
        return Finding(self.name, rows, found.to_markdown(), panels_of(found), notes_of(found))


def panels_of(found: Evaluation, scores: tuple[str, ...] = PLOTTED) -> tuple[Panel, ...]:
    """A panel for each of ``scores`` that was measured, methods as labels."""
    panels = []
    for score in scores:
        rows = [row for row in found.summary if row.score == score]
        if rows:
            intervals = tuple(Interval(row.mean, row.low, row.high) for row in rows)
            panels.append(Panel(SCORES[score], tuple(row.method for row in rows), intervals))
    return tuple(panels)


def notes_of(found: Evaluation) -> tuple[str, ...]:
    """The sentence under the table."""
    prompts = len({row["number"] for row in found})
    failed = f" {len(found.errors)} of {len(found)} rows failed." if found.errors else ""
    return (f"Means over {prompts} prompts with 95 % intervals; a star marks what differs from the first row "
            f"(p < .05, paired, after Holm).{failed}",)


def _ablation(_: Adapter) -> Variants:
    parts: dict[str, dict[str, Any]] = {
        "both parts": {}, "factual only": {"objective": "factual"}, "counterfactual only": {
            "objective": "counterfactual"}, "without L1": {"alpha": 0.0}, "without L2": {"beta": 0.0},
        "without penalties": {"alpha": 0.0, "beta": 0.0},
    }  # fmt: skip
    warm: Variants = {name: ("learned", settings) for name, settings in parts.items()}
    return {**warm, **{f"{name}, from 1/2": ("learned", {**COLD, **settings}) for name, settings in parts.items()}}


def _layers(model: Adapter) -> Variants:
    named: Variants = {"all": ("learned", {})}
    named.update({f"{third} third": ("learned", {"layers": third}) for third in ("first", "middle", "last")})
    reading = {site.layer for site in model.sites(1) if site.role in ("cross", "prefix")}
    if not reading:
        raise SettingError(f"model {model.key!r} reads no single words in its layers: there are none to choose from")
    return {**named, **{f"layer {layer} alone": ("learned", {"layers": [layer]}) for layer in sorted(reading)}}


def _temperature(_: Adapter) -> Variants:
    soft = {**COLD, "sampling": "soft"}
    fixed: Variants = {f"temperature {t:g}": ("learned", {**soft, "temperature": t}) for t in (1.0, 0.1, 0.5, 2.0)}
    annealed: Variants = {"annealed, 2 to 0.1": ("learned", {**soft, "temperature": 2.0, "temperature_end": 0.1})}
    return {**fixed, **annealed, "without sampling": ("learned", COLD)}


def _context(model: Adapter) -> Variants:
    if not any(site.role == "self" for site in model.sites(1)):
        raise SettingError(f"model {model.key!r} has no history that could be left out or kept: it has one context")
    contexts = ("frozen", "none", "joint")
    warm: Variants = {context: ("learned", {"context": context}) for context in contexts}
    return {**warm, **{f"{context}, from 1/2": ("learned", {**COLD, "context": context}) for context in contexts}}


ABLATION = VariantStudy("ablation", "What the two parts of the loss and its two penalties do.", _ablation)
LAYERS = VariantStudy("layers", "Where the mask should act: all layers, a third of them, or one alone.", _layers)
TEMPERATURE = VariantStudy("temperature", "How soft a sampled mask should be, and whether it should be.", _temperature)
CONTEXT = VariantStudy("context", "What a position should see of the past while it is explained.", _context)
