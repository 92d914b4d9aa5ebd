"""Tokens: spans of the word's own characters, whatever the characters."""

from __future__ import annotations

import pytest

from xattnmask.text import words_of


@pytest.mark.parametrize("prompt", [
    "a dog barks then a siren wails", "A  dog,   barks.", " leading and trailing ", "un perro ladró 🐶 y canta",
    "🐶🐕‍🦺", "ﬁne ½ dog\ttab\nline", "dog dog dog", "犬が吠える", "e\u0301 o\u0308", "zzz", "a\u00a0dog",
])
def test_every_word_has_its_tokens(musicgen, prompt):
    tokens = musicgen.tokenize(prompt)
    assert tokens[-1].special and (tokens[-1].start, tokens[-1].end) == (0, 0)
    for token in tokens[:-1]:
        assert not token.special
        assert prompt[token.start : token.end] == prompt[token.start : token.end].strip()
    words = words_of(prompt, tokens)
    assert words and all(word.tokens for word in words)
    owned = [i for word in words for i in word.tokens]
    assert all(i in owned for i, token in enumerate(tokens) if token.text == "<unk>" and _is_word(prompt, token))


def _is_word(prompt, token):
    return any(character.isalnum() for character in prompt[token.start : token.end])


def test_subwords_and_repeated_words(musicgen):
    words = words_of("dog barks dog", musicgen.tokenize("dog barks dog"))
    assert [(word.text, word.tokens) for word in words] == [("dog", (0,)), ("barks", (1, 2)), ("dog", (3,))]


def test_a_lone_space_piece_belongs_to_the_word_it_opens(musicgen):
    prompt = "dog 🐶"
    tokens = musicgen.tokenize(prompt)
    assert [token.text for token in tokens] == ["▁dog", "▁", "<unk>", "</s>"]
    assert words_of(prompt, tokens)[1].tokens == (1, 2)


def test_never_truncated(musicgen):
    assert len(musicgen.tokenize("dog" + " dog" * 39)) == 41
