from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from xattnmask.errors import OutputError, SettingError
from xattnmask.render import heatmap
from xattnmask.render.spectrogram import FLOOR_DB, mel, spectrogram


def test_words_top_to_bottom_and_a_shared_time_axis(make):
    figure = heatmap(make())
    sound, _, words, bar = figure.axes
    assert [t.get_text() for t in words.get_yticklabels()] == ["a", "dog", "barks", "then", "a", "siren"]
    assert words.get_ylim() == (6, 0)
    assert sound.get_xlim() == words.get_xlim() == (0, 2)
    assert bar.get_ylabel() == "importance" and words.get_xlabel() == "time (s)"
    mesh = words.collections[0]
    assert np.array_equal(np.asarray(mesh.get_array()), make().word_importance().T)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, make().word_importance().max())


@pytest.mark.parametrize("prompt", ["rain", "$x^$ _{ dog", "犬 🐶 \x1b[31m", " ".join(["word"] * 300), "w" * 500])
@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_draws_any_prompt_without_a_warning(make, tmp_path, prompt, suffix, recwarn):
    path = tmp_path / f"heatmap{suffix}"
    assert isinstance(heatmap(make(prompt, frames=8), path), Figure)
    assert path.stat().st_size > 1000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert not [w for w in recwarn if "Glyph" in str(w.message) or "constrained" in str(w.message)]


@pytest.mark.parametrize("changes", [
    {"audio": {}, "sample_rate": 0}, {"audio": {"audio": np.zeros(32000)}}, {"audio": {"audio": np.zeros(0)}},
    {"audio": {"audio": np.ones((2, 5))}}, {"times": [0.0, 2.0], "frames": 1},
    {"importance": np.zeros((50, 7))}, {"importance": np.full((50, 7), -1.0)},
    {"times": np.geomspace(0.1, 2, 51)},
])
def test_draws_odd_data(make, tmp_path, changes):
    heatmap(make(**changes), tmp_path / "h.png")


def test_interval_keeps_its_time_stamps(make):
    axes = heatmap(make().interval(0.5, 1.0)).axes
    assert axes[2].get_xlim() == pytest.approx((0.48, 1.0))
    assert axes[0].images[0].get_extent()[:2] == pytest.approx([0.48, 1.0])


def test_bad_requests(make, tmp_path):
    with pytest.raises(SettingError, match="must end in"):
        heatmap(make(), tmp_path / "h.jpeg2000")
    with pytest.raises(SettingError, match="no words"):
        heatmap(make("..."))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        heatmap(make(), tmp_path / "file" / "h.png")


def test_a_fault_while_saving_keeps_the_old_picture(make, tmp_path, monkeypatch):
    path = tmp_path / "h.png"
    path.write_bytes(b"old")

    def interrupt(self, target, **_):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", interrupt)
    with pytest.raises(KeyboardInterrupt):
        heatmap(make(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["h.png"] and path.read_bytes() == b"old"


def test_pyplot_is_left_alone(make, tmp_path):
    make().save(tmp_path)
    code = ("import sys\nsys.modules['torch'] = None\nfrom xattnmask.render import heatmap\n"
            "from xattnmask.results import Explanation\n"
            "heatmap(Explanation.load(sys.argv[1]), sys.argv[1] + '/h.png')\n"
            "assert 'matplotlib.pyplot' not in sys.modules")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("hertz", [100, 440, 3000])
def test_a_tone_is_where_it_should_be(hertz):
    tone = np.sin(2 * np.pi * hertz * np.arange(16000) / 16000).astype(np.float32)
    db = spectrogram(tone, 16000)
    assert db.shape[0] == 128 and db.max() == 0 and db.min() >= FLOOR_DB
    centres = np.linspace(mel(40.0), mel(8000.0), 128)
    assert abs(centres[db.mean(axis=1).argmax()] - mel(hertz)) < 40


def test_silence_and_long_audio():
    assert (spectrogram(np.zeros(100, np.float32), 16000) == FLOOR_DB).all()
    assert spectrogram(np.ones(16000 * 300, np.float32), 16000).shape[1] <= 1200
