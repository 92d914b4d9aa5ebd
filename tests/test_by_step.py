"""Maps of attention: what has none says so. Models that have one are in adapters/diffusers/tests."""

from __future__ import annotations

import pytest

import xattnmask as xm


def test_an_autoregressive_model_has_no_map(toy_model, sound):
    with pytest.raises(xm.SettingError, match="model 'toy' has no latents of time and frequency"):
        xm.attention_map(toy_model, sound)
    assert xm.explain(toy_model, sound, method="attention").attention_map is None
