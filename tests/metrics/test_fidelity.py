"""Fidelity, KL and size: identities, and what other libraries compute."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from xattnmask import SettingError
from xattnmask.metrics import divergence, fidelity, judged, size

P = np.array([0.1, 0.6, 0.25, 0.05])
Q = np.array([0.3, 0.2, 0.1, 0.4])


def test_fidelity_is_the_fall_of_the_labels_that_were_highest():
    assert fidelity(P, Q) == pytest.approx(0.4)
    assert fidelity(P, Q, top=2) == pytest.approx((0.4 + 0.15) / 2)
    assert fidelity(P, Q, top=4) == pytest.approx(0)  # both sum to one
    assert fidelity(P, P) == 0
    assert fidelity(np.array([0.4, 0.6]), np.array([0.2, 0.8])) == pytest.approx(-0.2)


def test_divergence_is_the_entropy_of_one_relative_to_the_other():
    assert divergence(P, Q) == pytest.approx(entropy(P, Q), rel=1e-5)
    assert divergence(Q, P) == pytest.approx(entropy(Q, P), rel=1e-5)
    assert divergence(P, P) == 0


def test_of_many_labels_it_is_the_sum_over_labels():
    by_label = [entropy([p, 1 - p], [q, 1 - q]) for p, q in zip(P, Q, strict=True)]
    assert divergence(P, Q, multilabel=True) == pytest.approx(sum(by_label), rel=1e-5)


def test_probabilities_that_were_rounded_to_zero_give_no_infinity():
    assert divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(np.log(1e7), rel=1e-3)
    assert np.isfinite(divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0]), multilabel=True))


@pytest.mark.parametrize("top", [0, 5])
def test_top_must_be_of_the_labels(top):
    with pytest.raises(SettingError, match="top must be from 1 to 4"):
        fidelity(P, Q, top)


def test_other_shapes_are_refused():
    with pytest.raises(SettingError, match="same labels"):
        fidelity(P, Q[:2])


def test_size_is_the_mean_of_a_mask():
    assert size(np.array([[0.0, 1.0], [0.5, 0.5]])) == 0.5
    with pytest.raises(SettingError, match=r"mask in \[0, 1\]"):
        size(np.array([2.0]))


class Ear:
    labels, multilabel = ("a", "b", "c", "d"), False

    def __call__(self, audio, sample_rate):
        return audio


def test_a_judge_hears_every_sound_and_means_are_taken():
    found = judged(Ear(), P, {"f": [P, Q], "cf": [Q]}, 100, top=9)
    assert found["fid_f"] == pytest.approx(0.2) and found["fid_cf"] == pytest.approx(0.4)
    assert found["fid_f_top"] == pytest.approx(0) and found["kl_f"] == pytest.approx(found["kl_cf"] / 2)
    assert set(found) == {f"{score}_{kind}" for score in ("fid", "kl") for kind in ("f", "cf")} | {
        "fid_f_top", "fid_cf_top"}
