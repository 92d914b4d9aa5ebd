"""Memory that grows with steps, or from one explanation to the next; hooks that pile up."""

from __future__ import annotations

import gc
from functools import cache
from importlib import metadata

import pytest
import torch

import xattnmask as xm
from xattnmask import hookimpl


@pytest.fixture(autouse=True)
def only_what_is_new(toy_model, sound):
    """What was there before is not counted, which is a million objects where libraries are loaded."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def live():
    """How many objects and how many tensors there are that are new."""
    gc.collect()
    objects = gc.get_objects()
    return len(objects), sum(isinstance(found, torch.Tensor) for found in objects)


def test_memory_that_grows_with_steps(toy_model, sound):
    tensors = []

    class Count:
        @hookimpl
        def xattnmask_step(self, event):
            if event.step % 10 == 9:
                tensors.append(live()[1])

    counter = Count()
    xm.register(counter)
    try:
        xm.explain(toy_model, sound, steps=50, tolerance=0.0)
    finally:
        xm.unregister(counter)
    assert len(tensors) == 5 and max(tensors[1:]) <= tensors[1]


def test_attention_capture_keeps_nothing(toy_model, sound, replay):
    with xm.capture_attention(toy_model, lambda *_: None, num_tokens=len(sound.tokens)):
        replay()
        before = live()[1]
        for _ in range(20):
            replay()
        assert live()[1] <= before


def test_a_thousand_explanations_in_a_row(toy_model, monkeypatch):
    """Neither objects, nor tensors, nor hooks, nor torch's modes are more afterwards."""
    for name in ("entry_points", "version"):  # they read the disk: most of the time, and not the point
        monkeypatch.setattr(metadata, name, cache(getattr(metadata, name)))
    short = toy_model.generate("a dog", duration=0.12)

    def explain(times):
        for _ in range(times):
            xm.explain(toy_model, short, method="leave-one-out")

    explain(50)
    before = live()
    explain(950)
    after = live()
    assert after[1] <= before[1] and after[0] - before[0] < 200
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in toy_model.backbone.modules())
    assert not torch.overrides._get_current_function_mode_stack()
