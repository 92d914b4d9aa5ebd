"""Evaluating: every method on every prompt, going on where it stopped, in one process or shared among several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..errors import SettingError
from ..explainer import MaskKind
from ..judges import load_judge
from ..optional import need
from ..plugins import registry
from ..plugins.offers import Case, Judge, World
from .plan import Methods, Plan, checked_methods, checked_metrics
from .scoring import Bench
from .sharing import Alone, processes
from .store import Row, Store, clean
from .table import Evaluation

LIMIT = 100
"""Captions that are taken of a world when nothing is said."""
OnPrompt = Callable[[int, int, Sequence[Row]], None]


def evaluate(
    model: Adapter, prompts: Iterable[str | Case] | None = None, *, methods: Sequence[str] | Methods = ("learned",),
    judge: Judge | str | None = None, world: World | str | None = None, metrics: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None, seed: int = 0, duration: float | None = None,
    guidance: float | None = None, generate: Mapping[str, Any] | None = None, repeats: int = 3, top: int = 3,
    truth: str | None = None, mask: MaskKind = "own", limit: int | None = None, split: str = "test",
    on_prompt: OnPrompt | None = None,
) -> Evaluation:  # fmt: skip
    """Score attribution methods on many prompts. A prompt that fails is noted in its rows, and the others go on.

    Args:
        model: a loaded model.
        prompts: texts, or cases; those of ``world`` by default.
        methods: names, or a mapping from the name that stands in the table to a method's key and settings. The first is
            the one that the others are compared with.
        judge: an audio classifier, or the key of one that needs no checkpoint.
        world: one whose causes are known, or its key: truth scores need it.
        metrics: of ``fidelity``, ``truth``, ``curves``, ``infidelity`` and ``sensitivity``; by default the first where
            there is a judge and the second where there is a world.
        out: a folder for the tables and for going on after an interruption; by default nothing is written.
        seed: added to each case's own seed for its sound; the seed of the methods; the first of the regenerations.
        duration, guidance: as in :meth:`Adapter.generate`.
        generate: what else the model's ``generate`` takes, such as the ``steps`` of a diffusion model.
        repeats: how often the sound is made again under each mask, from as many seeds.
        top: how many labels ``fid_f_top`` and ``fid_cf_top`` take.
        truth: whether importance is scored on a world's own sound, ``given`` to the model, whose truth is exact (the
            default, where the model takes sounds in), or on what the model has ``generated``, which need not be what
            was asked for.
        mask: what sounds are made again under: each method's ``own`` mask, or, fairer to methods whose importance is in
            other units, its importance ``stretched`` over [0, 1], or ``ranked``, where only the order of cells counts.
        limit: how many prompts; all by default, or 100 of a world.
        split: which captions of a world.
        on_prompt: called after each prompt with how many are done, of how many, and its rows.

    Returns:
        A row for each prompt and method, in that order.

    Raises:
        SettingError: a setting is out of range or lacks what it needs, or ``out`` holds an evaluation with others.
        UnknownKeyError: no such method, judge or world.
        OutputError: the folder cannot be written.
        MissingLibraryError: an optional library is not installed.
    """
    world = registry.world(world) if isinstance(world, str) else world
    judge = load_judge(judge) if isinstance(judge, str) else judge
    cases = _cases(prompts, world, limit, split)
    named = {name: value for name, value in (("duration", duration), ("guidance", guidance)) if value is not None}
    given = {**(generate or {}), **named}
    plan = Plan(checked_methods(methods), checked_metrics(metrics, judge is not None, world is not None), seed, repeats,
                top, truth or ("given" if takes_sounds(model) else "generated"), mask, given)
    if plan.given_sounds and not takes_sounds(model):
        raise SettingError(f"model {model.key!r} takes no sounds in: use truth='generated'")
    bench = Bench(model, plan, judge, world)
    share = processes(_device(model))
    if out is None:
        rows = _run(bench, cases, share, None, on_prompt)
        return Evaluation(rows, tuple(plan.methods))
    need("pandas", "evaluate")
    need("pyarrow", "evaluate")
    store = Store(Path(out), {**plan.as_dict(), **subject(model, judge, world, split)}, cases)
    found = Evaluation(_run(bench, cases, share, store, on_prompt), tuple(plan.methods))
    if share.main:
        found.save(out)
    return found


def _run(bench: Bench, cases: Sequence[Case], share: Alone, store: Store | None,
         on_prompt: OnPrompt | None) -> list[Row]:
    """The rows of all prompts, in all processes."""
    done = share.same(store.finished() if store is not None and share.main else {})
    made: list[tuple[int, list[Row]]] = []
    mine = share.mine([number for number in range(len(cases)) if number not in done])
    for count, number in enumerate(mine, 1):
        rows = clean(bench.rows(cases[number]))
        if store is not None:
            store.write(number, rows)
        made.append((number, rows))
        if on_prompt is not None:
            on_prompt(count, len(mine), rows)
    gathered = share.gathered(made)
    if store is not None and share.main:  # those of machines that have another disk
        for number, rows in gathered:
            store.write(number, rows)
    done.update(gathered)
    return [{"number": number + 1, **row} for number in sorted(done) for row in done[number]]


def _cases(prompts: Iterable[str | Case] | None, world: World | None, limit: int | None, split: str) -> list[Case]:
    if limit is not None and limit < 1:
        raise SettingError(f"limit must be at least 1, not {limit}")
    if prompts is None:
        if world is None:
            raise SettingError("give prompts, or a world that has some")
        return list(world.cases(LIMIT if limit is None else limit, split=split))
    if isinstance(prompts, str):
        raise SettingError("prompts are a sequence of texts, not one text")
    found = [prompt if isinstance(prompt, Case) else Case(prompt) for prompt in prompts][:limit]
    if not found:
        raise SettingError("there is no prompt to evaluate on")
    if world is not None and any(case.source is None for case in found):
        raise SettingError("a world knows the causes of its own cases alone: leave the prompts out")
    return found


def takes_sounds(model: Adapter) -> bool:
    """Whether the model can take in a sound that it did not make."""
    return type(model)._encode is not Adapter._encode


def _device(model: Adapter) -> str:
    return str(next(model.backbone.parameters()).device)


def subject(model: Adapter, judge: Judge | None, world: World | None, split: str) -> dict[str, Any]:
    """What else shapes the results: of which model, judge and captions they are."""
    return {"model": model.key, "checkpoint": model.checkpoint,
            "judge": None if judge is None else [type(judge).__name__, list(judge.labels)],
            "world": None if world is None else [type(world).__name__, split]}
