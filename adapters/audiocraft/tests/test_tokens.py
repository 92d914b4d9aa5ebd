"""Tokens: those that audiocraft feeds its T5, with spans of the word's own characters."""

from __future__ import annotations

import pytest

from xattnmask.text import words_of


@pytest.mark.parametrize("prompt", [
    "a dog barks then a siren wails", "A  dog,   barks.", " leading and trailing ", "un perro ladró 🐶 y canta",
    "🐶🐕‍🦺", "ﬁne ½ dog\ttab\nline", "dog dog dog", "犬が吠える", "e\u0301 o\u0308", "zzz", "a\u00a0dog", "dog 🐶",
])
def test_every_word_has_its_tokens(audiogen, prompt):
    tokens = audiogen.tokenize(prompt)
    theirs = audiogen.conditions.conditioner.tokenize([prompt])["input_ids"][0]
    assert [token.id for token in tokens] == theirs.tolist()
    assert tokens[-1].special and (tokens[-1].start, tokens[-1].end) == (0, 0)
    for token in tokens[:-1]:
        assert not token.special
        assert prompt[token.start : token.end] == prompt[token.start : token.end].strip()
    assert all(word.tokens for word in words_of(prompt, tokens))


def test_subwords_and_repeated_words(audiogen):
    words = words_of("dog barks dog", audiogen.tokenize("dog barks dog"))
    assert [(word.text, word.tokens) for word in words] == [("dog", (0,)), ("barks", (1, 2)), ("dog", (3,))]


def test_never_truncated(audiogen):
    assert len(audiogen.tokenize("dog" + " dog" * 39)) == 41
