"""Keyword arguments that a library takes and never forwards: here every unknown setting is an error."""

from __future__ import annotations

import pytest

import xattnmask as xm
from xattnmask import SettingError


def test_generate_takes_no_setting_it_does_not_have(toy_model, musicgen):
    for model in (toy_model, musicgen):
        with pytest.raises(SettingError, match="cross_attention_kwargs"):
            model.generate("a dog", duration=0.4, cross_attention_kwargs={"mask": 0})


@pytest.mark.parametrize("method", ["learned", "leave-one-out", "attention"])
def test_methods_take_no_setting_they_do_not_have(toy_model, sound, method):
    with pytest.raises(SettingError, match="lerning_rate"):
        xm.explain(toy_model, sound, method=method, lerning_rate=0.1)
