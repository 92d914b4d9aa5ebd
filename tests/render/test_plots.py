from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from xattnmask.errors import SettingError
from xattnmask.render import comparison_plot, steps_plot, words_plot
from xattnmask.results import compare

WORDS = ["a", "dog", "barks", "then", "a", "siren"]


def labels(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


def test_words_as_bars_with_their_spread(make):
    made = make()
    (axes,) = words_plot(made).axes
    assert labels(axes) == WORDS and axes.get_ylim() == (5.5, -0.5)
    means = [row.importance for row in made.words()]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(means, rel=1e-5)
    low, high = (line.get_xdata() for line in axes.lines)
    frames = np.sort(made.word_importance(), axis=0)
    np.testing.assert_array_equal([low, high], [frames[4], frames[44]])  # of 50 frames, the 5th and the 45th


def test_spread_weighs_frames_by_their_length(make):
    importance = np.zeros((2, 7))
    importance[1] = 1
    (axes,) = words_plot(make(times=[0.0, 0.05, 2.0], importance=importance)).axes
    assert [line.get_xdata()[0] for line in axes.lines] == [1, 1]  # the first frame is 2.5 % of the time


def test_steps_by_words(make):
    steps = np.random.default_rng(1).random((10, 7), dtype=np.float32)
    made = make(steps=np.arange(2.0, 102.0, 10), step_importance=steps)
    axes, bar = steps_plot(made).axes
    assert labels(axes) == WORDS and axes.get_xlim() == (-0.5, 9.5) and bar.get_ylabel() == "importance"
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(step) for step in range(2, 102, 10)]
    np.testing.assert_allclose(np.asarray(axes.collections[0].get_array()), steps[:, :6].T)


def test_of_many_steps_some_are_numbered(make):
    made = make(steps=np.arange(200.0), step_importance=np.zeros((200, 7)))
    axes, _ = steps_plot(made).axes
    numbers = [int(text.get_text()) for text in axes.get_xticklabels()]
    assert numbers == list(axes.get_xticks()) and (numbers[0], numbers[-1], len(numbers)) == (0, 199, 20)


def test_no_steps_to_draw(make):
    with pytest.raises(SettingError, match="no denoising steps"):
        steps_plot(make())


def test_comparison(make):
    first = make()
    second = replace(first, importance=first.importance * np.array([2, 0.5, 1, 1, 1, 1, 1]))
    (axes,) = comparison_plot(compare(first, second)).axes
    widths = [bar.get_width() for bar in axes.patches]
    assert widths[0] > 0 > widths[1] and widths[2:] == [0] * 4 and labels(axes) == WORDS
    assert axes.get_xlim()[0] == -axes.get_xlim()[1]
    with pytest.raises(SettingError, match="no word in common"):
        comparison_plot(compare(first, make("nothing else")))


@pytest.mark.parametrize("draw", [words_plot, lambda made, path: comparison_plot(compare(made, made), path)])
@pytest.mark.parametrize("prompt", ["rain", "$x^$ _{ dog", "犬 🐶 \x1b[31m", " ".join(["word"] * 200), "w" * 500])
def test_draws_any_prompt_as_vectors(make, tmp_path, recwarn, draw, prompt):
    draw(make(prompt, frames=4), tmp_path / "plot.svg")
    assert re.search(r"<svg[^>]*viewBox", (tmp_path / "plot.svg").read_text(encoding="utf-8"))
    assert [path.name for path in tmp_path.iterdir()] == ["plot.svg"] and not recwarn.list


@pytest.mark.parametrize("draw", [words_plot, steps_plot])
def test_bad_requests(make, tmp_path, draw):
    with pytest.raises(SettingError, match="must end in"):
        draw(make(), tmp_path / "plot.jpg")
    with pytest.raises(SettingError, match="no words"):
        draw(make("..."), tmp_path / "plot.svg")
