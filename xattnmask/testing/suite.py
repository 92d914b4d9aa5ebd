"""The kit in a test file: a few lines, one test for each check. Needs pytest::

    import pytest
    from xattnmask.testing.suite import conformance

    @pytest.fixture(scope="module")
    def checkpoint(tmp_path_factory):
        return save_a_small_siren(tmp_path_factory.mktemp("siren"))

    test_siren = conformance("siren")

``pytest -k gradient`` runs one check.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from .check import Check
from .checks import CHECKS
from .subject import Subject


def conformance(
    key: str, checkpoint: str | Callable[[pytest.FixtureRequest], Any] = "checkpoint", **others: Any
) -> Callable[..., None]:
    """A test for each check, to be assigned to a name that begins with ``test``.

    Args:
        key: model key of the installed adapter.
        checkpoint: name of a fixture, of the scope ``module`` or wider, or a function of pytest's request. It gives the
            folder of a small model, the name of a checkpoint, or a :class:`Subject`. Random weights do, if they are
            large enough for the text to matter.
        others: ``prompt``, ``duration`` and ``settings`` of :class:`Subject`.
    """
    subjects: dict[str, Subject] = {}

    def subject_of(request: pytest.FixtureRequest) -> Subject:
        found = request.getfixturevalue(checkpoint) if isinstance(checkpoint, str) else checkpoint(request)
        if isinstance(found, Subject):
            return found
        return subjects.setdefault(str(found), Subject.of(key, str(found), **others))

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def conforms(check: Check, request: pytest.FixtureRequest) -> None:
        outcome = check(subject_of(request))
        if outcome.status == "failed":
            pytest.fail(f"{check.claim}\n{outcome.message}", pytrace=False)
        if outcome.status == "skipped":
            pytest.skip(outcome.message)
        if outcome.status == "warned":
            warnings.warn(outcome.message, stacklevel=1)

    return conforms
