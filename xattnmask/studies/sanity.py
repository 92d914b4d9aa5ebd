"""Whether an explanation depends on what the model has learned: its parameters are made random, layer by layer.

The model parameter randomisation test (Adebayo et al., 2018), cascading from the top, as Quantus defines MPRT: modules
that have ``reset_parameters`` are reset from the last to the first, and stay so; after each stage the explanation of
the same sound is compared with the original one by Spearman's rank correlation over all its cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..adapter import Adapter
from ..errors import SettingError, XattnmaskError
from ..explainer import explain
from ..generation import Generation
from ..metrics.statistics import Interval, mean_with_interval
from ..optional import need
from .base import Finding, Panel, Setup, Study, markdown, shown

LIMIT, STAGES = 10, 12
METHODS = "learned,leave-one-out,attention"


class Sanity(Study):
    """Similarity to the original explanation after each stage; an explanation of the model must lose it."""

    name = "sanity"
    question = "Whether explanations depend on what the model has learned: its layers are made random, from the top."
    options = {  # noqa: RUF012
        "methods": f"attribution methods, with commas between them (default: {METHODS})",
        "stages": f"at most so many stages, of one or more layers each (default: {STAGES})",
    }

    def _run(self, setup: Setup) -> Finding:
        methods = [name.strip() for name in setup.options.get("methods", METHODS).split(",") if name.strip()]
        cases, model = setup.cases(LIMIT), setup.model
        sounds = [model.generate(case.prompt, seed=setup.seed + case.seed, **setup.sound_settings()) for case in cases]
        originals = {(m, i): _explained(setup, sound, m) for i, sound in enumerate(sounds) for m in methods}
        stages = stages_of(model, sounds[0], _whole(setup.options.get("stages", str(STAGES))))
        rows: list[dict[str, Any]] = []
        with randomised(model, stages, setup.seed) as cascade:
            for number, stage in enumerate(cascade, 1):
                for (method, index), before in originals.items():
                    found = similarity(before, _explained(setup, sounds[index], method))
                    rows.append({"prompt": cases[index].prompt, "method": method, "stage": number, "layers": stage.name,
                                 "similarity": found})
                setup.told(number, len(stages), rows[-1:])
        return _finding(self.name, methods, stages, rows, len(cases))


@dataclass(frozen=True)
class Stage:
    """Modules that are made random together, by their paths."""

    name: str
    paths: tuple[str, ...]


def stages_of(model: Adapter, sound: Generation, most: int = STAGES) -> list[Stage]:
    """The modules that run in a replay and can be reset, from the last to the first, by layer, in ``most`` stages.

    A layer is what shares a path up to its first number; layers are joined where there are more than ``most``.
    """
    ran: set[str] = set()
    resettable = [(path, module) for path, module in model.backbone.named_modules()
                  if callable(getattr(module, "reset_parameters", None))]
    hooks = [module.register_forward_hook(lambda *_, path=path: ran.add(path)) for path, module in resettable]
    try:
        with torch.no_grad():
            model.replay(sound)
    finally:
        for hook in hooks:
            hook.remove()
    groups: dict[str, list[str]] = {}
    for path, _ in reversed(resettable):
        if path in ran:
            groups.setdefault(_layer(path), []).append(path)
    if not groups:
        raise SettingError(f"model {model.key!r} has no module that can be reset: it has no reset_parameters")
    parts = np.array_split(np.array(list(groups), dtype=object), min(most, len(groups)))
    return [Stage(" to ".join(dict.fromkeys((part[0], part[-1]))), tuple(p for name in part for p in groups[name]))
            for part in parts]


@contextmanager
def randomised(model: Adapter, stages: Sequence[Stage], seed: int) -> Iterator[Iterator[Stage]]:
    """Stages whose modules are reset as they are reached, and stay so; the model is as it was afterwards."""
    backbone = model.backbone
    before = {name: value.detach().clone() for name, value in backbone.state_dict().items()}

    def cascade() -> Iterator[Stage]:
        for number, stage in enumerate(stages):
            with torch.random.fork_rng(), torch.no_grad():
                torch.manual_seed(seed + number + 1)
                for path in stage.paths:
                    backbone.get_submodule(path).reset_parameters()  # type: ignore[operator]
            yield stage

    try:
        yield cascade()
    finally:
        backbone.load_state_dict(before)


def similarity(before: np.ndarray | None, after: np.ndarray | None) -> float | None:
    """Spearman's rank correlation over all cells; None where there is no ranking to compare."""
    if before is None or after is None or np.ptp(before) == 0 or np.ptp(after) == 0:
        return None
    return float(need("scipy.stats", "metrics").spearmanr(before.ravel(), after.ravel()).statistic)


def _explained(setup: Setup, sound: Generation, method: str) -> np.ndarray | None:
    """Importance [frames, words], or None where a model made random gives no explanation."""
    try:
        return explain(setup.model, sound, method=method, seed=setup.seed).word_importance()
    except XattnmaskError as error:
        if isinstance(error, ArithmeticError):
            return None
        raise


def _layer(path: str) -> str:
    parts = path.split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdecimal()]
    return ".".join(parts[: numbers[0] + 1]) if numbers else path


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(f"stages must be a whole number, at least 1, not {text!r}")
    return int(text)


def _finding(name: str, methods: Sequence[str], stages: Sequence[Stage], rows: list[dict[str, Any]],
             prompts: int) -> Finding:
    intervals: dict[tuple[str, int], Interval] = {}
    for method in methods:
        for number in range(1, len(stages) + 1):
            values = [row["similarity"] for row in rows if (row["method"], row["stage"]) == (method, number)]
            intervals[method, number] = mean_with_interval(np.array([np.nan if v is None else v for v in values]))
    table = [{"random from the top to": stage.name, **{m: shown(intervals[m, n]) for m in methods}}
             for n, stage in enumerate(stages, 1)]
    labels = ("nothing", *(stage.name.rpartition(" to ")[2] for stage in stages))
    whole, numbers = Interval(1.0, 1.0, 1.0), range(1, len(stages) + 1)
    panels = tuple(Panel(f"similarity, {method}", labels, (whole, *(intervals[method, n] for n in numbers)), True)
                   for method in methods)
    note = f"Spearman's rank correlation with the original explanation; {prompts} prompts, 95 % intervals by bootstrap."
    return Finding(name, rows, markdown(table), panels, (note,))


SANITY = Sanity()
