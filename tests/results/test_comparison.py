"""Comparing two explanations, word by word."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from xattnmask import compare
from xattnmask.results import Explanation
from xattnmask.text import Token, word_spans


def explained(prompt, scores, **changes):
    """Two frames of a constant importance, one token a word."""
    tokens = tuple(Token(i, prompt[a:b], a, b) for i, (a, b) in enumerate(word_spans(prompt)))
    values = dict(prompt=prompt, tokens=tokens, times=[0.0, 1.0, 3.0], importance=np.array([scores, scores], float),
                  method="learned", model="toy", checkpoint="toy", seed=0, settings={"steps": 5, "seed": 0})
    return Explanation(**{**values, **changes})


def rows(comparison):
    return [(word.text, word.first, word.second, word.difference) for word in comparison.words]


def test_the_second_less_the_first():
    found = compare(explained("a dog barks", [0.1, 0.5, 0.75]), explained("a dog barks", [0.1, 0.25, 1.0], seed=1))
    assert rows(found) == [("a", pytest.approx(0.1), pytest.approx(0.1), 0),
                           ("dog", 0.5, 0.25, -0.25), ("barks", 0.75, 1.0, 0.25)]
    assert not found.relative and found.correlation == 1


def test_seeds_of_the_method_do_not_make_it_relative():
    first = explained("a dog", [0.1, 0.5])
    assert not compare(first, replace(first, settings={"steps": 5, "seed": 7})).relative


def test_other_methods_are_compared_by_shares():
    found = compare(explained("a dog barks", [0.1, 0.5, 0.5]), explained("a dog barks", [1, 5, 10], method="other"))
    assert found.relative
    assert [word.difference for word in found.words] == pytest.approx([0.1 - 0.2, 0.5 - 1, 0])


def test_other_prompts_are_matched_by_their_words():
    scores = [1, 2, 3, 4, 5]
    found = compare(explained("a dog then a siren", scores), explained("A cat then the Siren", scores))
    assert [(word.text, word.first, word.second) for word in found.words] == [
        ("a", 1, 1), ("dog", 2, None), ("cat", None, 2), ("then", 3, 3), ("a", 4, None), ("the", None, 4),
        ("siren", 5, 5)]
    assert [word.difference for word in found.words if word.first is None] == [None, None]


def test_repeated_words_keep_their_order():
    found = compare(explained("a dog a dog", [1, 2, 3, 4]), explained("a dog a dog", [4, 3, 2, 1]))
    assert [word.difference for word in found.words] == [3, 1, -1, -3] and found.correlation == -1


@pytest.mark.parametrize(("first", "second"), [("a dog", "a dog"), ("a b c", "d e f")])
def test_too_few_words_have_no_rank(first, second):
    scores = np.arange(len(first.split()))
    assert compare(explained(first, scores), explained(second, scores)).correlation is None


def test_as_text_and_as_data():
    found = compare(explained("a dog barks", [0.1, 0.5, 0.75]), explained("a dog \x1b[31m", [0.1, 0.25, 1.0]))
    text = str(found)
    assert "- dog" in text and "only in the first: barks" in text and "\x1b" not in text
    data = json.loads(json.dumps(found.as_dict()))
    assert data["first"]["prompt"] == "a dog barks" and data["words"][1]["difference"] == -0.25
