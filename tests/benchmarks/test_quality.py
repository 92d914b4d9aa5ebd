"""What the quality benchmark counts."""

import sys
from pathlib import Path

import pytest

from xattnmask import explain
from xattnmask.plugins.discovery import METHODS, keys

from ..toy_diffusion import ToyDiffusion

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are no installed package
from benchmarks.quality import SUITES, counted


@pytest.mark.parametrize(("method", "settings", "passes"), [
    ("random", {}, 0), ("attention", {}, 1), ("rollout", {}, 1),
    ("grad-cam", {"context": "joint"}, 3),  # clean, without text, traced
    ("leave-one-out", {}, 6), ("atman", {"batch": 2}, 6),  # clean, and five of one word or token less
    ("shapley", {"orders": 3}, 14),  # clean, without words, and four words three times
    ("integrated-gradients", {"steps": 4, "context": "joint"}, 5),
])
def test_passes(toy_model, sound, method, settings, passes):
    if method in ("shapley", "integrated-gradients"):
        pytest.importorskip("captum")
    with counted(toy_model) as found:
        explain(toy_model, sound, method=method, **settings)
    assert sum(found) == passes + 1  # one for the attention that comes with every explanation
    assert not {"replay", "replay_isolated"} & set(vars(toy_model))


def test_the_suite_of_methods_has_them_all():
    assert {method for method, _ in SUITES["methods"].values()} == set(keys(METHODS))


def test_passes_of_a_diffusion_model_are_of_one_step():
    model = ToyDiffusion()
    made = model.generate("a dog barks", seed=0, duration=0.4)
    with counted(model) as found:
        model.replay(made)
        model.denoise(made, [0, 2], 3)
    assert found == [len(made.noise_levels), 6] and "denoise" not in vars(model)
