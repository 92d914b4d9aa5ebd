"""The conformance kit: given an adapter and a small model, it checks all that the core relies on::

    from xattnmask.testing import Subject, run_checks
    report = run_checks(Subject.of("siren", "some/tiny/folder"))
    assert report.passed, report

From the shell: ``xattnmask check siren --checkpoint some/tiny/folder``. In a test file: :mod:`xattnmask.testing.suite`,
the only part that needs pytest.
"""

from __future__ import annotations

from .check import Check, Outcome, Status
from .checks import CHECKS
from .report import Report, run_checks
from .subject import Subject

__all__ = ["CHECKS", "Check", "Outcome", "Report", "Status", "Subject", "run_checks"]
