"""Judges: loaded by key, listed, and held to what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import (
    CheckpointError,
    Judge,
    MissingLibraryError,
    PluginError,
    SettingError,
    UnknownKeyError,
    list_judges,
    list_worlds,
    load_judge,
)
from xattnmask.judges import probabilities

ZERO_SHOT = """
    import numpy as np
    from xattnmask import Judge, hookimpl

    class Named(Judge):
        takes_labels = True

        def __init__(self, labels):
            self.labels = labels

        @classmethod
        def load(cls, checkpoint=None, *, device="cpu", labels=()):
            if checkpoint == "broken":
                raise ZeroDivisionError("inside")
            if checkpoint == "library":
                import nothing_of_that_name
            return cls(labels)

        def __call__(self, audio, sample_rate):
            return np.full(len(self.labels), 1 / len(self.labels))

    @hookimpl
    def xattnmask_judge():
        return Named
"""


@pytest.fixture
def named(toy):
    toy.add("named", {"xattnmask.judges": {"named": "named_judge"}}, modules={"named_judge": ZERO_SHOT})
    return toy


def test_by_key_and_listed(toy):
    assert isinstance(load_judge("toy"), Judge)
    assert [offer.key for offer in list_judges()] == ["toy"] == [offer.key for offer in list_worlds()]


def test_labels_are_the_users_where_the_judge_takes_them(named):
    assert load_judge("named", labels=["a  dog", " rain "]).labels == ["a dog", "rain"]
    for labels in (None, [], ["a dog"], ["a dog", ""], ["rain", "rain"]):
        with pytest.raises(SettingError, match="needs labels to tell apart"):
            load_judge("named", labels=labels)
    with pytest.raises(SettingError, match="has labels of its own"):
        load_judge("toy", labels=["a", "b"])


def test_what_cannot_be_loaded(named):
    with pytest.raises(UnknownKeyError, match=r"no judge 'toi': did you mean toy\?"):
        load_judge("toi")
    with pytest.raises(CheckpointError, match=r"^judge 'toy' could not be loaded: no weights in nowhere$"):
        load_judge("toy", "nowhere")
    with pytest.raises(PluginError, match="judge plugin 'named' of named failed to load: ZeroDivisionError: inside"):
        load_judge("named", "broken", labels=["a", "b"])
    with pytest.raises(MissingLibraryError, match="needs nothing_of_that_name"):
        load_judge("named", "library", labels=["a", "b"])


class Says(Judge):
    labels = ("a", "b")

    def __init__(self, values, multilabel=False):
        self.values, self.multilabel = values, multilabel

    @classmethod
    def load(cls, checkpoint=None, *, device="cpu"):
        raise NotImplementedError

    def __call__(self, audio, sample_rate):
        return np.array(self.values, dtype=np.float32)


@pytest.mark.parametrize(("values", "told"), [
    ([0.5, 0.3, 0.2], "has 2 labels and gave probabilities"), ([[0.5, 0.5]], "has 2 labels"),
    ([0.5, np.nan], "no probability"), ([-0.5, 1.5], "no probability"), ([0.9, 0.9], "sum to 1.800"),
])
def test_a_judge_that_breaks_its_promise(values, told):
    with pytest.raises(PluginError, match=told):
        probabilities(Says(values), np.zeros(10, np.float32), 100)


def test_what_is_right_passes():
    assert probabilities(Says([0.25, 0.75]), np.zeros(10, np.float32), 100).tolist() == [0.25, 0.75]
    assert probabilities(Says([1.0, 1.0], multilabel=True), np.zeros(10, np.float32), 100).sum() == 2
