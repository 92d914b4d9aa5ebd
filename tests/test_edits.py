"""Edits as data: how they are written, which words and frames they hold for, and every way they can be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import SettingError, WordEdit
from xattnmask.edits import token_weights
from xattnmask.text import Token

PROMPT = "a dog, then a Siren"
TOKENS = (Token(1, "a", 0, 1), Token(2, "do", 2, 4), Token(3, "g", 4, 5), Token(4, ",", 5, 6), Token(5, "then", 7, 11),
          Token(1, "a", 12, 13), Token(6, "Siren", 14, 19), Token(0, "</s>", 19, 19, special=True))
TIMES = np.linspace(0, 2, 21)


def weights(*changes):
    return token_weights([WordEdit.parse(change) for change in changes], PROMPT, TOKENS, TIMES)


@pytest.mark.parametrize(("text", "edit"), [
    ("siren=0", WordEdit("siren", 0.0)),
    (" rain = 1.5".replace(" = ", "="), WordEdit("rain", 1.5)),
    ("siren=.5@1.0-2.5", WordEdit("siren", 0.5, 1.0, 2.5)),
    ("a=b=0", WordEdit("a=b", 0.0)),
    ("dog@home=1e-1@0-1", WordEdit("dog@home", 0.1, 0.0, 1.0)),
    ("siren#2=0", WordEdit("siren#2", 0.0)),
    ("犬=2", WordEdit("犬", 2.0)),
])
def test_how_an_edit_is_written(text, edit):
    assert WordEdit.parse(text) == edit


@pytest.mark.parametrize("text", ["", "siren", "siren=", "=0", "siren=x", "siren=0@", "siren=0@1", "siren=0@1-",
                                  "siren=nan", "siren=0@a-b", "siren=0 @ 1-2 3"])
def test_what_cannot_be_read(text):
    with pytest.raises(SettingError, match=r"write WORD=WEIGHT or WORD=WEIGHT@START-END"):
        WordEdit.parse(text)


def test_no_edit_leaves_everything():
    assert weights().shape == (20, 8) and (weights() == 1).all()
    assert (token_weights({}, PROMPT, TOKENS, TIMES) == 1).all()


def test_all_tokens_of_a_word_and_no_others():
    found = weights("DOG=0.25")
    assert (found[:, [1, 2]] == 0.25).all() and (np.delete(found, [1, 2], axis=1) == 1).all()
    assert np.array_equal(found, token_weights({"dog": 0.25}, PROMPT, TOKENS, TIMES))


def test_frames_whose_middle_lies_in_the_stretch():
    found = weights("then=0@0.5-1.0")[:, 4]
    assert np.flatnonzero(found == 0).tolist() == [5, 6, 7, 8, 9]
    assert (weights("then=0@0-2")[:, 4] == 0).all()
    assert np.flatnonzero(weights("then=0@0.51-0.52")[:, 4] == 0).tolist() == [5]  # within one frame: that one


def test_the_later_of_two_edits_holds():
    found = weights("dog=0", "dog=2@1-2")[:, 1]
    assert (found[:10] == 0).all() and (found[10:] == 2).all()


def test_one_of_several_words_of_a_name():
    assert (weights("a#2=0")[:, 5] == 0).all() and (weights("a#2=0")[:, 0] == 1).all()
    assert (weights("siren#1=0")[:, 6] == 0).all()


@pytest.mark.parametrize(("change", "told"), [
    ("cat=0", r"no word 'cat': its words are a, dog, then, a, Siren"),
    ("a=0", r"'a' 2 times: write a#1 to a#2"),
    ("a#3=0", r"no word 'a#3': it has 'a' 2 times"),
    ("a#0=0", r"no word 'a#0'"),
    ("cat#1=0", r"no word 'cat#1': it has 'cat' 0 times"),
    ("dog=-0.1", r"weight of 'dog' must be between 0 and 4, not -0.1"),
    ("dog=4.01", r"between 0 and 4"),
    ("dog=0@1-1", r"stretch 1 to 1 s is empty"),
    ("dog=0@1.5-1", r"is empty: the start must be below the end"),
    ("dog=0@-1-1", r"reaches outside the audio, 0.000 to 2.000 s"),
    ("dog=0@1-2.1", r"reaches outside the audio"),
])
def test_what_is_wrong_is_told_in_one_line(change, told):
    with pytest.raises(SettingError, match=told) as error:
        weights(change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), "1", None, True])
def test_a_weight_is_a_number(weight):
    with pytest.raises(SettingError, match="must be a number"):
        token_weights({"dog": weight}, PROMPT, TOKENS, TIMES)


def test_a_word_that_never_reached_the_model():
    with pytest.raises(SettingError, match="never reached the model"):
        token_weights({"dog": 0.0}, PROMPT, tuple(t for t in TOKENS if t.id not in (2, 3)), TIMES)
