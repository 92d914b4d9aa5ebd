"""``xattnmask explain --audio``: a sound that the model did not make."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile

from xattnmask import Explanation


@pytest.fixture
def given(tmp_path):
    path = tmp_path / "given.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal((800, 2)), 1600)
    return path


@pytest.fixture
def listening(monkeypatch, explainer):
    """The toy takes sounds in: its frames are those of the generation of the same length."""
    import toy_plugin

    def encode(self, prompt, tokens, audio, sample_rate):
        made = self.generate(prompt, duration=audio.shape[-1] / sample_rate)
        return type(made)(**{**vars(made), "audio": audio, "sample_rate": sample_rate, "encoded": True})

    monkeypatch.setattr(toy_plugin.Toy, "_encode", encode)


def test_it_is_explained_but_not_made_again(run, listening, given, tmp_path):
    out = tmp_path / "out"
    run("explain", "a dog barks", "--out", out, "--seed", 3)
    done = run("explain", "a dog barks", "--audio", given, "--out", out)
    assert (done.code, done.err) == (0, "")
    assert sorted(os.listdir(out)) == ["audio.wav", "explanation.json", "heatmap.png", "report.html"]
    explanation = Explanation.load(out)
    np.testing.assert_allclose(explanation.audio["audio"].T, soundfile.read(given)[0], atol=1e-4)
    assert "the model did not make it" in (out / "report.html").read_text()


@pytest.mark.parametrize(("content", "told"), [(None, "no sound file at"), (b"text", "cannot read")])
def test_files_that_hold_no_sound(run, listening, tmp_path, content, told):
    if content is not None:
        (tmp_path / "a.wav").write_bytes(content)
    done = run("explain", "a dog", "--audio", tmp_path / "a.wav", "--out", tmp_path / "out")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1) and told in done.err
    assert not (tmp_path / "out").exists()


def test_a_sound_that_is_too_long(run, listening, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(1600 * 3), 1600)
    done = run("explain", "a dog", "--audio", tmp_path / "a.wav", "--out", tmp_path / "out")
    assert done.code == 2 and "the audio has 3.00 s and the model makes at most 2 s: cut it" in done.err


def test_a_model_that_takes_no_sounds(run, explainer, given, tmp_path):
    done = run("explain", "a dog", "--audio", given, "--out", tmp_path / "out")
    assert done.code == 2 and "adapter 'toy' cannot take in a sound that its model did not make" in done.err
