"""Each check fails, and for the right reason, where an adapter is broken."""

from __future__ import annotations

import re

import pytest

from xattnmask.testing import CHECKS, Subject

from ..toy_diffusion import ToyDiffusion
from . import diffusion_faults  # noqa: F401 - adds its own
from .faults import FAULTS, Fault
from .replay_faults import Encodes

BY_NAME = {check.name: check for check in CHECKS}
NOT_SEEN_TO_FAIL = {"cuda"}
"""Needs a device."""


def load(adapter, tmp_path):
    (tmp_path / "toy.json").write_text("{}")
    if issubclass(adapter, ToyDiffusion):
        return adapter
    return lambda device, dtype: adapter(str(tmp_path), device, dtype)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_fault_is_found(fault: Fault, tmp_path):
    outcome = BY_NAME[fault.check](Subject(load(fault.adapter, tmp_path)))
    assert outcome.status == fault.status, outcome.message
    assert re.search(fault.message, outcome.message), outcome.message
    assert "\n" not in outcome.message


def test_every_check_is_seen_to_fail():
    assert {fault.check for fault in FAULTS} == set(BY_NAME) - NOT_SEEN_TO_FAIL


def test_a_sound_that_is_taken_in_rightly(tmp_path):
    assert BY_NAME["encode"](Subject(load(Encodes, tmp_path))).status == "passed"
