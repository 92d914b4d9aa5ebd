"""The kit finds nothing wrong with adapters that keep the contract."""

from __future__ import annotations

import pytest

from xattnmask.testing import Subject
from xattnmask.testing.suite import conformance

from ..toy_diffusion import ToyApart, ToyDiffusion
from ..toy_plugin import Toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.json").write_text("{}")
    return Subject(lambda device, dtype: Toy.from_checkpoint(str(folder), device=device, dtype=dtype))


@pytest.fixture(scope="module")
def toy_diffusion():
    return Subject(ToyDiffusion)


@pytest.fixture(scope="module")
def toy_apart():
    return Subject(ToyApart)


test_toy = conformance("toy", "toy")
test_toy_diffusion = conformance("toy-diffusion", "toy_diffusion")
test_toy_apart = conformance("toy-diffusion", "toy_apart")
