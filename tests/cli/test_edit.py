"""``xattnmask edit``, with the toy and its real generations."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import soundfile

from xattnmask import Explanation, load

FILES = ["edit.json", "edited.wav", "original.wav", "report.html"]


@pytest.fixture
def saved(run, explainer, tmp_path):
    """What ``explain`` saved of the toy."""
    assert run("explain", "a dog barks a tune", "--seed", 3, "--duration", 0.8, "--out", tmp_path / "saved").code == 0
    return tmp_path / "saved"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def sound(path):
    return soundfile.read(path, dtype="float32")[0]


def test_the_word_is_gone_and_the_files_are_there(run, saved, out):
    done = run("edit", saved, "--set", "dog=0", "--out", out)
    assert (done.code, done.err) == (0, "")
    assert sorted(os.listdir(out)) == FILES and str(out) in done.out and "note" not in done.out
    model = load("toy", "toy-small")
    without = model.generate("a barks a tune", seed=3, duration=0.8)  # the toy's text has no positions
    np.testing.assert_allclose(sound(out / "edited.wav"), without.audio, atol=2e-4)
    np.testing.assert_array_equal(sound(out / "original.wav"), sound(saved / "audio.wav"))


def test_what_was_done_is_told(run, saved, out):
    done = run("edit", saved, "--set", "dog=0", "--set", "a#2=1.5@0.2-0.4", "--out", out, "--json")
    told, written = json.loads(done.out), json.loads((out / "edit.json").read_text())
    assert told["set"] == written["set"] == ["dog=0", "a#2=1.5@0.2-0.4"] and told["notes"] == []
    assert (written["prompt"], written["seed"]) == ("a dog barks a tune", 3)
    assert written["generation_settings"]["duration"] == 0.8
    assert sorted(map(os.path.basename, told["files"].values())) == FILES


def test_without_a_report(run, saved, out):
    run("edit", saved, "--set", "dog=0", "--out", out)
    assert run("edit", saved, "--set", "dog=0", "--out", out, "--no-report").code == 0
    assert sorted(os.listdir(out)) == [name for name in FILES if name != "report.html"]


def test_another_sound_than_the_saved_one_is_noted(run, saved, out):
    explanation = Explanation.load(saved)
    audio = {**explanation.audio, "audio": explanation.audio["audio"] * 0.5}
    object.__setattr__(explanation, "audio", audio)
    explanation.save(saved)
    assert "note: the model does not make the saved sound any more" in run(
        "edit", saved, "--set", "dog=0", "--out", out).out
    (saved / "audio.wav").unlink()  # nothing to compare with
    assert "note" not in run("edit", saved, "--set", "dog=0", "--out", out).out


@pytest.mark.parametrize(("arguments", "told"), [
    (["--set", "cat=0"], "the prompt has no word 'cat': its words are a, dog, barks, a, tune"),
    (["--set", "a=0"], "write a#1 to a#2"),
    (["--set", "dog=5"], "must be between 0 and 4, not 5"),
    (["--set", "dog"], "write WORD=WEIGHT or WORD=WEIGHT@START-END"),
    (["--set", "dog=0@0-3"], "reaches outside the audio, 0.000 to 0.800 s"),
    (["--set", "dog=0", "--device", "gpu"], "no device 'gpu'"),
    ([], "--set"),
])
def test_bad_input_is_one_line_and_exit_code_2(run, saved, out, arguments, told):
    done = run("edit", saved, *arguments, "--out", out)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert told in done.err and not out.exists()


def test_a_folder_without_an_explanation(run, toy, out, tmp_path):
    done = run("edit", tmp_path, "--set", "dog=0", "--out", out)
    assert done.code == 2 and "no explanation at" in done.err


def test_a_given_sound_cannot_be_edited(run, saved, out):
    data = json.loads((saved / "explanation.json").read_text())
    data["generation_settings"]["encoded"] = True
    (saved / "explanation.json").write_text(json.dumps(data))
    done = run("edit", saved, "--set", "dog=0", "--out", out)
    assert done.code == 2 and "the model did not make this sound" in done.err
