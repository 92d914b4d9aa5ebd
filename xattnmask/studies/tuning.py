"""Settings of the learned mask, found by Optuna on validation captions and tried on others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import SettingError
from ..evaluation import evaluate
from ..evaluation.table import SCORES
from ..optional import need
from ..plugins.offers import Case
from .base import Finding, Setup, Study, markdown
from .variants import panels_of

TRIALS, LIMIT, TESTED = 30, 10, 30
GOALS = {"frame_auc": 1.0, "frame_ap": 1.0, "word_auc": 1.0, "fid_cf": 1.0, "fid_f": -1.0, "kl_cf": 1.0, "kl_f": -1.0}
"""What can be sought, and whether more or less of it is good."""
LOG = "tuning.log"


class Tuning(Study):
    """Searches on the first prompts (of a world: of its split ``validation``), then tries the best on the others."""

    name = "tuning"
    question = "Which steps, learning rate, penalties and start suit a model: sought by Optuna, tried on others."
    options = {  # noqa: RUF012
        "trials": f"settings that are tried (default: {TRIALS})",
        "goal": f"the score that is sought: {', '.join(GOALS)} (default: frame_auc with a world, else fid_cf)",
    }

    def _run(self, setup: Setup) -> Finding:
        optuna = need("optuna", "tuning")
        goal = setup.options.get("goal", "frame_auc" if setup.world is not None else "fid_cf")
        trials = setup.options.get("trials", str(TRIALS))
        if goal not in GOALS or not trials.isdecimal() or int(trials) < 1:
            raise SettingError(f"goal must be one of {', '.join(GOALS)}, and trials a whole number, at least 1")
        sought, tested = _cases(setup)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        search = self._search(optuna, setup)
        for done in range(len(search.trials), int(trials)):
            search.optimize(lambda trial: _score(setup, sought, goal, suggested(trial)), n_trials=1)
            setup.told(done + 1, int(trials), [{"prompt": json.dumps(search.trials[-1].params)}])
        return self._finding(setup, search, goal, len(sought), tested)

    def _search(self, optuna: Any, setup: Setup) -> Any:
        """The search so far: kept in the study's folder, so that it goes on there, where there is one."""
        storage = None
        if setup.out is not None:
            journal = need("optuna.storages.journal", "tuning")
            storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(setup.out / LOG)))
        return optuna.create_study(study_name=self.name, storage=storage, direction="maximize", load_if_exists=True,
                                   sampler=optuna.samplers.TPESampler(seed=setup.seed))

    def _finding(self, setup: Setup, search: Any, goal: str, sought: int, tested: Sequence[Case]) -> Finding:
        if not any(trial.value is not None for trial in search.trials):
            raise SettingError("no trial gave a score: see what xattnmask evaluate says of these prompts")
        best = settings_of(search.best_params)
        found = evaluate(
            setup.model, tested, methods={"default": ("learned", {}), "tuned": ("learned", best)}, judge=setup.judge,
            world=setup.world, seed=setup.seed, duration=setup.duration, guidance=setup.guidance,
            generate=setup.generate, repeats=setup.repeats)
        rows = [{"trial": trial.number, **settings_of(trial.params), goal: _signed(goal, trial.value)}
                for trial in search.trials if trial.value is not None]
        chosen = markdown([{"setting": name, "tuned": f"{value:.4g}" if isinstance(value, float) else str(value)}
                           for name, value in best.items()])
        note = (f"{len(rows)} trials on {sought} captions sought {SCORES[goal]}; the second table is of {len(tested)} "
                "other captions, where a star marks what differs from the default (p < .05, paired, after Holm).")
        return Finding(self.name, rows, f"{chosen}\n{found.to_markdown()}", panels_of(found), (note,))


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


def _score(setup: Setup, cases: Sequence[Case], goal: str, settings: dict[str, Any]) -> float:
    """The mean of the goal over the captions, the higher the better; NaN, a failed trial, where a prompt fails."""
    found = evaluate(
        setup.model, cases, methods={"tried": ("learned", settings)}, judge=setup.judge, world=setup.world,
        metrics=["truth" if goal in ("frame_auc", "frame_ap", "word_auc") else "fidelity"], seed=setup.seed,
        duration=setup.duration, guidance=setup.guidance, generate=setup.generate, repeats=setup.repeats)
    if found.errors:
        return float("nan")
    return _signed(goal, float(np.nanmean(found[goal])))


def _signed(goal: str, value: float) -> float:
    return GOALS[goal] * value


TUNING = Tuning()
