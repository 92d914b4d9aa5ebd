"""The toy's world and judge as the setup of a study."""

from __future__ import annotations

import pytest

from xattnmask import load_judge
from xattnmask.plugins.registry import world
from xattnmask.studies import Setup


@pytest.fixture
def setup(toy_model):
    """Makes setups of two captions of half a second."""

    def make(**changes):
        return Setup(**{"model": toy_model, "world": world("toy"), "judge": load_judge("toy"), "limit": 2,
                        "duration": 0.48, "repeats": 1, **changes})

    return make
