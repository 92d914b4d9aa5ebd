"""The kit finds nothing wrong with adapters that keep the contract."""

from __future__ import annotations

import pytest

from xattnmask.testing import Subject
from xattnmask.testing.suite import Conformance

from ..toy_diffusion import ToyDiffusion
from ..toy_plugin import Toy


class TestToy(Conformance):
    @pytest.fixture(scope="class")
    def subject(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("toy")
        (folder / "toy.json").write_text("{}")
        return Subject(lambda device, dtype: Toy.from_checkpoint(str(folder), device=device, dtype=dtype))


class TestToyDiffusion(Conformance):
    @pytest.fixture(scope="class")
    def subject(self):
        return Subject(ToyDiffusion)
