"""The kit in a test file: five lines, one test for each check. Needs pytest.

    import pytest
    from xattnmask.testing.suite import Conformance

    class TestSiren(Conformance):
        key = "siren"

        @pytest.fixture(scope="class")
        def checkpoint(self, tmp_path_factory):
            return save_a_small_siren(tmp_path_factory.mktemp("siren"))
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from .check import Check
from .checks import CHECKS
from .subject import PROMPT, Subject


class Conformance:
    """Subclass it in a module that pytest collects, with the adapter's ``key`` and a fixture ``checkpoint``.

    ``checkpoint`` gives a folder of a small model, or the name of a checkpoint; random weights do, if they are large
    enough for the text to matter. ``prompt``, ``duration`` and ``settings`` are those of :class:`Subject`.
    """

    key: ClassVar[str]
    prompt: ClassVar[str] = PROMPT
    duration: ClassVar[float | None] = None
    settings: ClassVar[Mapping[str, Any] | None] = None

    @pytest.fixture(scope="class")
    def subject(self, checkpoint: str | Path) -> Subject:
        """The adapter under test."""
        return Subject.of(
            self.key, str(checkpoint), prompt=self.prompt, duration=self.duration, settings=self.settings
        )

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def test_conforms(self, check: Check, subject: Subject) -> None:
        """What the check claims."""
        outcome = check(subject)
        if outcome.status == "failed":
            pytest.fail(f"{check.claim}\n{outcome.message}", pytrace=False)
        if outcome.status == "skipped":
            pytest.skip(outcome.message)
        if outcome.status == "warned":
            warnings.warn(outcome.message, stacklevel=1)
