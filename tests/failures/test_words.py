"""Sub-words assumed from one tokenizer, repeated words, special and padding tokens scored; prompts of any kind."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xattnmask as xm
from xattnmask import PromptError
from xattnmask.text import Token, tokens_from_bytes, tokens_from_offsets, word_spans, words_of

PROMPT = "a barking dog, then a dog 🐶"


def by_word(prompt):
    return tuple(Token(1, prompt[a:b], a, b) for a, b in word_spans(prompt))


def by_character(prompt):
    """As a fast tokenizer reports it, one token a character, between two that it added."""
    offsets = [(0, 0), *((i, i + 1) for i in range(len(prompt))), (0, 0)]
    added = [1, *[0] * len(prompt), 1]
    return tokens_from_offsets(prompt, [0] * len(added), ["x"] * len(added), offsets, added)


def by_piece(prompt):
    """Pieces that hold the white space before them, as byte-level tokenizers make them."""
    cuts = [0, *(i for i, character in enumerate(prompt) if character == " "), len(prompt)]
    offsets = [(a, b) for a, b in pairwise(cuts) if b > a]
    return tokens_from_offsets(prompt, range(len(offsets)), ["x"] * len(offsets), offsets, [0] * len(offsets))


@pytest.mark.parametrize("tokenize", [by_word, by_character, by_piece, tokens_from_bytes])
def test_sub_words_assumed_from_one_tokenizer(tokenize):
    """No mark of any tokenizer is looked at: words follow from character spans alone."""
    words = words_of(PROMPT, tokenize(PROMPT))
    assert [word.text for word in words] == ["a", "barking", "dog", "then", "a", "dog", "🐶"]
    assert all(word.tokens for word in words)


@pytest.mark.parametrize("tokenize", [by_word, by_character, by_piece, tokens_from_bytes])
def test_repeated_words_are_apart(tokenize):
    words = words_of(PROMPT, tokenize(PROMPT))
    first, second = (word for word in words if word.text == "dog")
    assert not set(first.tokens) & set(second.tokens) and first.start < second.start


def test_special_and_padding_tokens_are_not_scored():
    """A special token of the highest importance changes no word, and is shown apart."""
    tokens = (Token(1, "a", 0, 1), Token(2, "dog", 2, 5), Token(0, "</s>", 5, 5, True), Token(0, "<pad>", 0, 0, True))
    importance = np.array([[0.1, 0.2, 0.9, 0.8]], np.float32)
    found = xm.Explanation(prompt="a dog", tokens=tokens, times=np.array([0.0, 1.0]), importance=importance,
                           method="learned", model="toy", checkpoint="toy", seed=0)
    assert [(row.text, round(row.importance, 3)) for row in found.words()] == [("a", 0.1), ("dog", 0.2)]
    assert [token.text for token in tokens if token.special] == ["</s>", "<pad>"]
    assert len(found.special()) == 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=st.text(max_size=30))
def test_any_prompt_is_explained_or_refused(toy_model, tmp_path, prompt):
    try:
        made = toy_model.generate(prompt, duration=0.1)
    except PromptError as error:
        assert "\n" not in str(error)
        return
    found = xm.explain(toy_model, made, method="leave-one-out")
    assert [word.text for word in found.words()] == [prompt[a:b] for a, b in word_spans(prompt)]
    assert np.isfinite(found.importance).all()
    found.save(tmp_path)
    assert xm.Explanation.load(tmp_path) == found
