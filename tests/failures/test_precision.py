"""Overflow in float16: an error that says what to do, never a result of NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xattnmask as xm
from xattnmask import NumericalError

from ..toy_plugin import Toy


@pytest.fixture
def overflowing(toy_model):
    model = Toy(toy_model.checkpoint, "cpu", "float16")
    with torch.no_grad():
        model.backbone.layers[1].cross.o.weight.mul_(1e5)
    return model


@pytest.mark.parametrize("method", ["learned", "leave-one-out"])
def test_overflow_in_float16_is_told(overflowing, method):
    made = overflowing.generate("a dog barks", duration=0.4)
    with pytest.raises(NumericalError, match="NaN or infinity"):
        xm.explain(overflowing, made, method=method)


def test_masks_and_losses_stay_in_float32(toy_model):
    """Whatever the model's own precision: a loss of thousands of positions would overflow, a small mask underflow."""
    model = Toy(toy_model.checkpoint, "cpu", "float16")
    made = model.generate("a dog barks", duration=0.4)
    mask = torch.full((1, len(made.tokens)), 1e-7, requires_grad=True)
    with xm.patch(model, mask):
        model.replay(made).float().mul(torch.arange(16.0)).sum().backward()
    assert mask.grad.dtype == torch.float32 and (mask.grad != 0).all()
    assert xm.explain(model, made, steps=2).importance.dtype == np.float32
