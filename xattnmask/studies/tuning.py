"""Settings of the learned mask, found by Optuna on validation captions and tried on others."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, SettingError
from ..evaluation.plan import Methods
from ..evaluation.scoring import Sounds
from ..evaluation.table import SCORES, Evaluation
from ..metrics.statistics import paired_difference
from ..optional import need
from ..plugins.offers import Case
from .base import Finding, Setup, Study, markdown
from .bench import bench_of, evaluated
from .variants import COLD, panels_of

TRIALS, LIMIT, TESTED = 30, 10, 30
TRUE = ("frame_auc", "frame_ap", "word_auc")
GOALS = {**dict.fromkeys(TRUE, 1.0), "fid_cf": 1.0, "fid_f": -1.0, "kl_cf": 1.0, "kl_f": -1.0}
"""What can be sought (the first three need a world), and whether more or less of it is good."""
LOG = "tuning.log"
ADAPTIVE: Mapping[str, dict[str, Any]] = {
    "adaptive": {"target_size": "auto"}, "adaptive, from 1/2": {**COLD, "target_size": "auto"},
}  # fmt: skip
"""What needs no tuning."""


class Tuning(Study):
    """Searches on the first prompts (of a world: of its split ``validation``), then tries the best on the others."""

    name = "tuning"
    question = "Which steps, learning rate, penalties and start suit a model: sought by Optuna, tried on others."
    options = {  # noqa: RUF012
        "trials": f"settings that are tried (default: {TRIALS})",
        "goal": f"the score that is sought: {', '.join(GOALS)} (default: frame_auc with a world, else fid_cf)",
        "with": "folders of this study on other models, separated by commas: what was found there is tried here too",
    }

    def _run(self, setup: Setup) -> Finding:
        optuna = need("optuna", "tuning")
        goal = setup.options.get("goal", "frame_auc" if setup.world is not None else "fid_cf")
        trials = setup.options.get("trials", str(TRIALS))
        if goal not in GOALS or not trials.isdecimal() or int(trials) < 1:
            raise SettingError(f"goal must be one of {', '.join(GOALS)}, and trials a whole number, at least 1")
        others = {f"from {folder}": found_in(optuna, folder) for folder in _folders(setup.options)}
        sought, tested = _cases(setup)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        search, score = self._search(optuna, setup), _scorer(setup, sought, goal)
        for done in range(len(search.trials), int(trials)):
            search.optimize(lambda trial: score(suggested(trial)), n_trials=1)
            setup.told(done + 1, int(trials), [{"prompt": json.dumps(search.trials[-1].params)}])
        return self._finding(setup, search, goal, len(sought), tested, others)

    def _search(self, optuna: Any, setup: Setup) -> Any:
        """The search so far: kept in the study's folder, so that it goes on there, where there is one."""
        storage = None if setup.out is None else _journal(optuna, setup.out)
        return optuna.create_study(study_name=self.name, storage=storage, direction="maximize", load_if_exists=True,
                                   sampler=optuna.samplers.TPESampler(seed=setup.seed))

    def _finding(self, setup: Setup, search: Any, goal: str, sought: int, tested: Sequence[Case],
                 others: Mapping[str, dict[str, Any]]) -> Finding:
        if not any(trial.value is not None for trial in search.trials):
            raise SettingError("no trial gave a score: see what xattnmask evaluate says of these prompts")
        best = settings_of(search.best_params)
        methods = {"default": {}, "tuned": best, **ADAPTIVE, **others}
        found = _tested(setup, tested, {name: ("learned", settings) for name, settings in methods.items()})
        rows = [{"trial": trial.number, **settings_of(trial.params), goal: _signed(goal, trial.value)}
                for trial in search.trials if trial.value is not None]
        chosen = markdown([{"setting": name, "tuned": f"{value:.4g}" if isinstance(value, float) else str(value)}
                           for name, value in best.items()])
        note = (f"{len(rows)} trials on {sought} captions sought {SCORES[goal]}; the second table is of {len(tested)} "
                "other captions, where a star marks what differs from the default (p < .05, paired, after Holm).")
        compared = _compared(found, goal, [*ADAPTIVE, *others])
        return Finding(self.name, rows, f"{chosen}\n{found.to_markdown()}", panels_of(found), (note, *compared))


def suggested(trial: Any) -> dict[str, Any]:
    """Settings that a trial of Optuna is to try."""
    trial.suggest_categorical("start", ["leave-one-out", "1/2"])
    trial.suggest_int("steps", 1, 30, log=True)
    for name, low, high in (("lr", 0.01, 2.0), ("alpha", 1e-5, 1e-1), ("beta", 1e-3, 1.0)):
        trial.suggest_float(name, low, high, log=True)
    return settings_of(trial.params)


def settings_of(params: dict[str, Any]) -> dict[str, Any]:
    """Settings of the learned mask from the parameters of a trial."""
    return {**params, "start": 0.0 if params["start"] == "1/2" else params["start"]}


def found_in(optuna: Any, folder: Path) -> dict[str, Any]:
    """The best settings of the study in ``folder``; raises FormatError where there is none, or none that gave a score.
    """
    try:
        if not (folder / LOG).is_file():
            raise ValueError(f"there is no {LOG}")
        search = optuna.load_study(study_name=Tuning.name, storage=_journal(optuna, folder))
        return settings_of(search.best_params)
    except (OSError, ValueError, KeyError) as error:
        raise FormatError(f"{folder} holds no tuning of another model: {' '.join(str(error).split())}") from error


def _folders(options: Mapping[str, str]) -> list[Path]:
    return [Path(name.strip()) for name in options.get("with", "").split(",") if name.strip()]


def _journal(optuna: Any, folder: Path) -> Any:
    journal = need("optuna.storages.journal", "tuning")
    return optuna.storages.JournalStorage(journal.JournalFileBackend(str(folder / LOG)))


def _tested(setup: Setup, cases: Sequence[Case], methods: Methods) -> Evaluation:
    """Methods on the captions that nothing was sought on; in a folder for each choice of them."""
    digest = zlib.crc32(json.dumps(methods, sort_keys=True).encode())
    return evaluated(setup, methods, cases, f"evaluation-{digest:08x}")


def _compared(found: Evaluation, goal: str, names: Sequence[str]) -> tuple[str, ...]:
    """How far the goal of each of ``names`` is from what tuning on this model itself reaches."""
    by_name = {name: np.array([row.get(goal) for row in found if row["method"] == name], dtype=np.float64)
               for name in ("tuned", *names)}
    told = []
    for name in names:
        gap = paired_difference(by_name[name], by_name["tuned"])
        interval = f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
        told.append(f"{SCORES[goal]} of '{name}' less that of 'tuned': {interval}.")
    return tuple(told)


def _cases(setup: Setup) -> tuple[list[Case], list[Case]]:
    """Captions to search on, and others to try the result on."""
    if setup.world is not None and setup.prompts is None:
        limit = setup.limit or LIMIT
        sought = list(setup.world.cases(limit, split="validation"))
        return sought, list(setup.world.cases(setup.limit or TESTED, split=setup.split))
    cases = replace(setup, limit=None).cases(LIMIT)
    limit = min(setup.limit or LIMIT, len(cases) // 2)
    if limit < 1:
        raise SettingError("study 'tuning' needs two prompts at least: some to search on, others to try the result on")
    return cases[:limit], cases[limit : limit + TESTED]


def _scorer(setup: Setup, cases: Sequence[Case], goal: str) -> Callable[[dict[str, Any]], float]:
    """What tells, of settings of the learned mask, the mean of the goal over the captions, the higher the better.

    Sounds are made once for all trials. Where a prompt fails it tells NaN: a failed trial.
    """
    bench = bench_of(setup, {"tried": ("learned", {})}, ("truth" if goal in TRUE else "fidelity",))
    sounds = [Sounds(bench, case) for case in cases]

    def score(settings: dict[str, Any]) -> float:
        rows = [bench.row(each.case, "tried", partial(each.scores, "learned", settings)) for each in sounds]
        if any(row["error"] for row in rows):
            return float("nan")
        return _signed(goal, float(np.nanmean([row[goal] for row in rows])))

    return score


def _signed(goal: str, value: float) -> float:
    return GOALS[goal] * value


TUNING = Tuning()
