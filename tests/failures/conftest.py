"""Failures that other tools have had, one test each: on the toy, and on tiny real models where it matters."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

import xattnmask as xm

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiny_musicgen(tmp_path_factory):
    """A folder with a MusicGen of random weights, made by the adapter's own tests."""
    pytest.importorskip("transformers")
    spec = importlib.util.spec_from_file_location("musicgen_maker", ROOT / "adapters/transformers/tests/conftest.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    return maker.save_musicgen(tmp_path_factory.mktemp("musicgen"))


@pytest.fixture
def musicgen(tiny_musicgen):
    """A MusicGen of its own for each test, which may spoil it."""
    return xm.load("musicgen", str(tiny_musicgen))


@pytest.fixture
def ones(sound):
    return torch.ones(1, len(sound.tokens))


@pytest.fixture
def zeros(sound):
    return torch.zeros(1, len(sound.tokens))


@pytest.fixture
def replay(toy_model, sound):
    """Hidden states of the toy's replay, without gradients."""

    def run(batch=1):
        with torch.no_grad():
            return toy_model.replay(sound, batch)

    return run
