"""Maps of words by time and frequency."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import AttentionMap
from xattnmask.errors import SettingError
from xattnmask.render import map_plot
from xattnmask.render.spectrogram import mel

HERTZ = np.array([50.0, 500.0, 2000.0, 8000.0])


@pytest.fixture
def mapped(make):
    def build(prompt="a dog barks then a siren", **changes):
        made = make(prompt, **changes)
        values = np.random.default_rng(2).random((len(made.tokens), 10, 3))
        return make(prompt, **changes, attention_map=AttentionMap(values, np.linspace(0, 2, 11), HERTZ))

    return build


def drawn(axes):
    return np.asarray(axes.collections[0].get_array())


def test_words_under_the_spectrogram(mapped):
    made = mapped()
    figure = map_plot(made, ["siren", "a#1"])
    panels = [axes for axes in figure.axes if axes.get_title(loc="left") or axes.images]
    assert [axes.get_title(loc="left") for axes in panels] == ["", "siren", "a#1"]
    np.testing.assert_allclose(drawn(panels[1]), made.word_map("siren").T)
    np.testing.assert_allclose(drawn(panels[2]), made.attention_map.values[0].T)
    mesh = panels[1].collections[0].get_coordinates()
    np.testing.assert_allclose(mesh[0, :, 0], np.linspace(0, 2, 11))
    np.testing.assert_allclose(mesh[:, 0, 1], mel(HERTZ))
    assert len({axes.get_ylim() for axes in panels}) == len({axes.get_xlim() for axes in panels}) == 1


def test_all_words_by_default_and_a_word_alone(mapped):
    figure = map_plot(mapped(audio={}, sample_rate=0))
    assert [title for axes in figure.axes if (title := axes.get_title(loc="left"))] == [
        "a#1", "dog", "barks", "then", "a#2", "siren"]
    assert len(map_plot(mapped(), "dog").axes) == 4


def test_it_is_a_vector_file(mapped, tmp_path, recwarn):
    map_plot(mapped("$x^$ 犬 w"), path=tmp_path / "map.svg")
    assert (tmp_path / "map.svg").read_text(encoding="utf-8").startswith("<?xml") and not recwarn.list


def test_bad_requests(mapped, make, tmp_path):
    with pytest.raises(SettingError, match="no map of time and frequency"):
        map_plot(make(), "dog")
    with pytest.raises(SettingError, match="no word 'cat'"):
        map_plot(mapped(), "cat")
    with pytest.raises(SettingError, match="no words"):
        map_plot(mapped("..."))
    with pytest.raises(SettingError, match="13 words are too many"):
        map_plot(mapped(" ".join(f"w{i}" for i in range(13))))
    with pytest.raises(SettingError, match="must end in"):
        map_plot(mapped(), "dog", tmp_path / "map.jpg")
