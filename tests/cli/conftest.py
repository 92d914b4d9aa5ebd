"""Running the command in this process, with the toy model and a stand-in for the explainer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest

from xattnmask import Explanation, RunStart, StepEvent
from xattnmask.cli import main
from xattnmask.plugins.discovery import METHODS
from xattnmask.plugins.listeners import listeners


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys):
    """Run ``xattnmask`` with arguments; its exit code and what it printed."""

    def call(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Result(int(stop.value.code or 0), printed.out, printed.err)

    return call


class FakeExplainer(ModuleType):
    """Explains nothing, quickly: the importance of a token is its index."""

    def __init__(self):
        super().__init__("xattnmask.explainer")
        self.calls = []
        self.fault = None

    def explain(self, model, generation, *, method="learned", seed=0, **settings):
        self.calls.append({"method": method, "seed": seed, **settings})
        relay = listeners()
        relay.xattnmask_start(run=RunStart(generation.prompt, method, model.key, 2, settings))
        relay.xattnmask_step(event=StepEvent(0, 2, {"total": 0.5}))
        if self.fault:
            raise self.fault
        importance = np.tile(np.arange(len(generation.tokens), dtype=np.float32), (len(generation.times) - 1, 1))
        explanation = Explanation(
            prompt=generation.prompt, tokens=generation.tokens, times=generation.times, importance=importance,
            method=method, model=generation.model, checkpoint=generation.checkpoint, seed=seed,
            generation_settings={**generation.settings, **({"encoded": True} if generation.encoded else {})},
            diagnostics=("the mask is a fake",),
        )
        relay.xattnmask_end(explanation=explanation)
        return explanation

    def regenerate(self, model, generation, explanation):
        return {"factual": generation.audio * 0.5, "counterfactual": generation.audio * 0.25}


@pytest.fixture
def explainer(toy, monkeypatch):
    """Installs the toy, a method and the stand-in explainer."""
    toy.add("some-methods", {METHODS: {"learned": "nowhere", "attention": "nowhere"}})
    fake = FakeExplainer()
    monkeypatch.setitem(sys.modules, "xattnmask.explainer", fake)
    return fake
