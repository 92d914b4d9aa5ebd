"""Running the checks: choosing, errors, reports as data."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from xattnmask import SettingError
from xattnmask.testing import CHECKS, Subject, run_checks
from xattnmask.testing.check import Check

from ..toy_plugin import Toy
from .faults import Twice


def subject(adapter, tmp_path):
    (tmp_path / "toy.json").write_text("{}")
    return Subject(lambda device, dtype: adapter.from_checkpoint(str(tmp_path), device=device, dtype=dtype))


def test_a_report_is_data(tmp_path):
    seen = []
    report = run_checks(subject(Toy, tmp_path), ["sites", "contract", "cuda"], seen.append)
    assert [outcome.name for outcome in report.outcomes] == ["contract", "sites", "cuda"] == [o.name for o in seen]
    data = json.loads(json.dumps(report.as_dict()))
    assert data["passed"] is report.passed is True
    assert [check["status"] for check in data["checks"]][:2] == ["passed", "passed"]
    assert str(report).splitlines()[0] == "passed  contract"


def test_one_failure_fails_it(tmp_path):
    report = run_checks(subject(Twice, tmp_path), ["contract", "sites"])
    assert not report.passed and report.count("failed") == 1 and "more than once" in str(report)


def test_an_unknown_check(tmp_path):
    with pytest.raises(SettingError, match="no check named site: there are contract, sites"):
        run_checks(subject(Toy, tmp_path), ["site"])


def test_what_cannot_be_loaded_cannot_be_checked():
    with pytest.raises(OSError, match="holds no toy"):
        run_checks(Subject(lambda device, dtype: Toy.from_checkpoint("/nowhere", device=device, dtype=dtype)))


def test_an_interrupt_is_not_an_outcome():
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Check("some", "", "", interrupt)(None)


def test_every_check_says_what_it_claims_and_where_to_look():
    assert all(check.claim and check.advice and check.advice.endswith(".") for check in CHECKS)
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_a_prompt_that_is_too_long_is_cut_at_a_word(tmp_path):
    class Short(Toy):
        max_tokens = 4

    found = subject(Short, tmp_path)
    assert found.fitted_prompt() == "a dog barks"
    assert found.other_prompt() == "dog dog barks"


def test_the_kit_needs_no_pytest():
    code = "import sys, xattnmask.testing; print([m for m in sys.modules if m.startswith(('pytest', '_pytest'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
