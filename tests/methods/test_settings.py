"""Settings: by name, in range, and a hint where the name is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from xattnmask import SettingError
from xattnmask.methods.attention import AttentionSettings
from xattnmask.methods.learned_settings import LearnedSettings
from xattnmask.methods.leave_one_out import LeaveOneOutSettings
from xattnmask.methods.settings import settings_of


@dataclass(frozen=True)
class Empty:
    pass


@pytest.mark.parametrize(("kind", "given", "message"), [
    (LearnedSettings, {"step": 3}, "method 'some' has no setting 'step'; did you mean steps or per_step?"),
    (LearnedSettings, {"temprature": 3}, "did you mean temperature or temperature_end?"),
    (AttentionSettings, {"zone": 1}, "method 'some' has no setting 'zone'; it has: denoising_steps, "),
    (Empty, {"x": 1}, "method 'some' has no setting 'x'; it has: none"),
    (LearnedSettings, {"per_step": "False"}, "per_step must be True or False, not 'False'"),
    (LearnedSettings, {"batched": 0}, "batched must be True or False, not 0"),
])
def test_an_unknown_setting_names_the_nearest_and_a_switch_is_a_bool(kind, given, message):
    with pytest.raises(SettingError) as error:
        settings_of(kind, "some", given)
    assert message in str(error.value)


@pytest.mark.parametrize(("name", "value"), [
    ("steps", 0), ("steps", 2.5), ("steps", "3"), ("steps", True), ("steps", 100_001), ("steps", np.float64(3)),
    ("patience", 0), ("patience", -1), ("patience", 1.5),
    ("lr", 0), ("lr", -1.0), ("lr", math.nan), ("lr", math.inf), ("lr", "fast"),
    ("weight_decay", -1e-9), ("alpha", -1.0), ("beta", math.inf), ("tolerance", math.nan),
    ("start", math.inf), ("start", -math.inf), ("start", math.nan), ("start", "attention"), ("start", None),
    ("temperature", 0.0), ("temperature_end", 0.0), ("temperature_end", -1.0), ("temperature", math.nan),
    ("context", "past"), ("target", "x"), ("depth", "deep"), ("objective", "all"), ("parameters", "tree"),
    ("sampling", "gumbel"), ("preset", "papers"), ("rule", "multiply"), ("context", ["none"]),
])
def test_learned_settings_out_of_range(name, value):
    with pytest.raises(SettingError, match=name.removesuffix("_end")):
        LearnedSettings(**{name: value})


@pytest.mark.parametrize(("name", "value"), [
    ("batch", 0), ("batch", 2.5), ("by", "sentence"), ("context", "x"), ("rule", "x"), ("depth", "x"),
])
def test_leave_one_out_settings_out_of_range(name, value):
    with pytest.raises(SettingError, match=name):
        LeaveOneOutSettings(**{name: value})


def test_one_temperature_is_constant_and_two_are_a_schedule():
    assert LearnedSettings(temperature=0.5).schedule.at(7, 20) == 0.5
    both = LearnedSettings(temperature=2.0, temperature_end=0.5).schedule
    assert (both.at(0, 20), both.at(19, 20)) == (2.0, pytest.approx(0.5))
