"""Methods and settings as they are typed."""

from __future__ import annotations

import pytest

from xattnmask import SettingError
from xattnmask.cli.method_list import parse_methods, parse_settings


def test_values_are_json_or_what_python_calls_them():
    typed = "learned:steps=10:batched=False:per_step=true:target_size=None:lr=0.5:context=none:layers=[1]"
    settings = {"steps": 10, "batched": False, "per_step": True, "target_size": None, "lr": 0.5, "context": "none",
                "layers": [1]}
    assert parse_methods(typed) == {typed: ("learned", settings)}
    assert parse_settings(["a=False", "b=x=1"], "--set") == {"a": False, "b": "x=1"}


@pytest.mark.parametrize("typed", ["learned:steps", "learned:=1", "learned:steps=", "learned,learned"])
def test_what_is_malformed_or_twice_is_refused(typed):
    with pytest.raises(SettingError, match="NAME:SETTING=VALUE, each once"):
        parse_methods(typed)
