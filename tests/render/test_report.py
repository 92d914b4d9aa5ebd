"""The report as a file; what it does in a browser is in test_report_browser.py."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from xattnmask.errors import OutputError, SettingError
from xattnmask.render import index_page, report
from xattnmask.render.pages import Entry
from xattnmask.render.pages.data import MAX_CELLS, explanation_data

EVIL = "a </script> <b>dog</b> & <!-- 'x' \"y\""


def data(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def scripts(html):
    return re.findall(r"<script>(.*?)</script>", html, re.DOTALL)


def test_numbers_are_those_of_the_explanation(make):
    made = make()
    found = data(report(made))["heat"]
    assert [label["text"] for label in found["labels"]] == ["a", "dog", "barks", "then", "a", "siren", "</s>"]
    assert [label["special"] for label in found["labels"]] == [False] * 6 + [True]
    np.testing.assert_allclose(found["times"], made.times, atol=1e-4)
    np.testing.assert_allclose(found["values"], made.importance, atol=1e-4)


def test_it_is_written_whole_or_not_at_all(make, tmp_path):
    path = tmp_path / "report.html"
    html = report(make(), path)
    assert path.read_text(encoding="utf-8") == html and [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OutputError):
        report(make(), path / "report.html")
    with pytest.raises(SettingError, match="no words"):
        report(make("..."))


def test_ten_seconds_of_stereo_noise_stay_under_3_mb(make):
    random = np.random.default_rng(0)
    noise = {name: random.uniform(-1, 1, (2, 10 * 44100)).astype(np.float32)
             for name in ("audio", "factual", "counterfactual")}
    prompt, times = " ".join(["word"] * 40), np.linspace(0, 10, 501)
    html = report(make(prompt, frames=500, times=times, audio=noise, sample_rate=44100))
    assert len(html.encode()) < 3e6


def test_the_text_of_a_prompt_is_escaped(make):
    html = report(make(EVIL, checkpoint="<i>c</i>", diagnostics=("<u>",), versions={"<s>": "</script>"}))
    assert EVIL not in html and "<i>c" not in html and "<u>" not in html and "<s>" not in html
    assert len(scripts(html)) == 6 and html.count("</script>") == 7
    assert data(html)["prompt"] == EVIL


def test_nothing_is_loaded_and_no_other_script_may_run(make):
    html = report(make(EVIL))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    hashes = set(re.findall(r"'sha256-([^']+)'", policy))
    assert hashes == {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts(html)}
    assert policy.startswith("default-src 'none'") and "http" not in policy
    outside = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert "src=" in outside and not re.findall(r'(?:src|href)="(?!data:)', outside)


def test_the_licence_of_what_is_not_ours_goes_with_it(make):
    html = report(make())
    assert "BSD 3-Clause License" in html and "katspaugh" in html and "THIS SOFTWARE IS PROVIDED" in html


def test_frames_of_all_steps_are_averaged_alike(make):
    cube = np.random.default_rng(0).random((100, 1000, 7)).astype(np.float32)
    made = make(frames=1000, steps=np.arange(100), step_time_importance=cube, step_importance=cube.mean(1),
                importance=cube.mean(0), audio={}, sample_rate=0)
    data = explanation_data(made)
    group = -(-700_000 // MAX_CELLS)
    frames = np.array(data["steps"]["frames"])
    assert frames.shape == (100, -(-1000 // group), 7) and len(data["heat"]["times"]) == frames.shape[1] + 1
    np.testing.assert_allclose(frames[3, 0], cube[3, :group].mean(0), atol=6e-4)
    np.testing.assert_allclose(data["heat"]["values"][0], cube[:, :group].mean((0, 1)), atol=1e-4)


def test_many_frames_are_averaged(make):
    importance = np.random.default_rng(0).random((50_000, 3))
    made = make("a dog", frames=50_000, importance=importance, audio={}, sample_rate=0)
    found = data(report(made))["heat"]
    assert len(found["values"]) == 25_000 and len(found["times"]) == 25_001
    np.testing.assert_allclose(found["values"][7], made.importance[14:16].mean(0), atol=1e-4)


def test_a_quiet_sound_looks_quiet_beside_the_original(make):
    noise = 0.5 * np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    sounds = data(report(make(audio={"audio": noise, "counterfactual": 0.01 * noise})))["sounds"]
    before, after = (np.frombuffer(base64.b64decode(s["spectrogram"]["levels"]), np.uint8) for s in sounds)
    heard = after > 0
    np.testing.assert_allclose((before.astype(float) - after)[heard] / 255 * 70, 40, atol=0.3)  # 0.01 is -40 dB


def test_a_given_sound_is_called_so(make):
    html = report(make(generation_settings={"encoded": True}))
    assert "the model did not make it" in html and "what the model made of the whole prompt" not in html


def test_the_index_links_what_is_done_and_tells_what_failed(make):
    entries = [Entry("a dog", "0001-a dog", make().words()), Entry(EVIL, "2", error="<b> is wrong"), Entry("c", "3"),
               Entry("d", "4", make().words(), report=False)]
    html = index_page(entries)
    assert re.findall(r'<a href="([^"]*)"', html) == ["0001-a%20dog/report.html"]
    assert "2 explained" in html and "1 failed" in html and "1 to come" in html
    assert EVIL not in html and "&lt;b&gt; is wrong" in html
