from __future__ import annotations

import copy
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xattnmask.errors import FormatError
from xattnmask.results import Explanation, io
from xattnmask.results.numbers import compact

quick = settings(max_examples=150, deadline=None,
                 suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=8)


def test_round_trip_is_exact(explanation, tmp_path):
    explanation.save(tmp_path)
    loaded = Explanation.load(tmp_path)
    assert loaded == explanation == Explanation.load(tmp_path / "explanation.json")
    assert loaded.importance.tobytes() == explanation.importance.tobytes()
    assert loaded.times.tobytes() == explanation.times.tobytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["audio.wav", "explanation.json", "factual.wav"]


def test_round_trip_with_steps(make, tmp_path):
    e = make(steps=[0.1, 0.2], step_importance=np.full((2, 11), 1 / 3), attention=None, converged=None,
             diagnostics=("One.",), losses={}, audio={}, sample_rate=0, settings={"bad": float("nan")})
    e.save(tmp_path)
    assert Explanation.load(tmp_path) == e


@quick
@given(hnp.arrays(np.float32, (20,), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_float32_survive_as_short_decimals(array):
    again = np.array(json.loads(json.dumps(compact(array))), dtype=np.float32)
    assert again.tobytes() == array.tobytes()
    assert json.dumps(compact(np.float32([0.1]))) == "[0.1]"


def test_audio_is_rounded_once(explanation, tmp_path):
    explanation.save(tmp_path / "1")
    first = Explanation.load(tmp_path / "1")
    first.save(tmp_path / "2")
    second = Explanation.load(tmp_path / "2")
    for name, sound in explanation.audio.items():
        assert first.audio[name].shape == sound.shape
        np.testing.assert_allclose(first.audio[name], sound, atol=2**-15)
        assert np.array_equal(first.audio[name], second.audio[name])


def test_audio_beyond_full_scale_is_clipped_not_wrapped(make, tmp_path):
    make(audio={"audio": np.array([-9.0, 9.0, 1.0])}).save(tmp_path)
    assert Explanation.load(tmp_path).audio["audio"].tolist() == [-1.0, 1 - 2**-15, 1 - 2**-15]


def test_audio_is_playable_by_others(explanation, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    explanation.save(tmp_path)
    info = soundfile.info(tmp_path / "factual.wav")
    assert (info.samplerate, info.channels, info.subtype) == (8000, 2, "PCM_16")
    sound, _ = soundfile.read(tmp_path / "factual.wav", dtype="float32", always_2d=True)
    assert np.array_equal(sound.T, Explanation.load(tmp_path).audio["factual"])


def test_json_reads_without_this_library(explanation, tmp_path):
    explanation.save(tmp_path)
    text = (tmp_path / "explanation.json").read_text(encoding="utf-8")
    data = json.loads(text, parse_constant=pytest.fail)
    assert data["format"] == "xattnmask/explanation" and data["version"] == 1
    assert data["words"] == explanation.words().as_dicts()
    assert data["tokens"][9] == {"id": 1, "text": "</s>", "start": 26, "end": 26, "special": True}
    assert data["audio"] == {"audio": "audio.wav", "factual": "factual.wav"}
    assert data == explanation.as_dict()
    assert len(text) < 30_000


def test_unicode_prompts(make, tmp_path):
    for prompt in ("犬が吠える 🐶 dog sounds, over here!", "\udcff odd surrogates from a shell!!"):
        make(prompt=prompt).save(tmp_path)
        assert Explanation.load(tmp_path).prompt == prompt


def test_without_audio(explanation, tmp_path):
    explanation.save(tmp_path)
    (tmp_path / "factual.wav").unlink()
    with pytest.raises(FormatError, match="audio=False"):
        Explanation.load(tmp_path)
    assert Explanation.load(tmp_path, audio=False).audio == {}


def test_loads_where_torch_cannot_be_imported(explanation, tmp_path):
    explanation.save(tmp_path)
    code = textwrap.dedent("""
        import sys
        for name in ("torch", "soundfile", "matplotlib", "pandas", "xarray", "rich", "transformers"):
            sys.modules[name] = None
        from xattnmask.results import Explanation
        print(Explanation.load(sys.argv[1]).interval(1, 2).words().sorted())
        import xattnmask.render
    """)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "siren" in done.stdout


def malformed(call):
    """Call; only FormatError may come out, in one line. Returns whether it did."""
    try:
        call()
    except FormatError as error:
        assert "\n" not in str(error)
        return True
    return False


@quick
@given(data=anything)
def test_any_json_is_refused(data):
    assert malformed(lambda: io.from_dict(data))


@quick
@given(data=st.data())
def test_any_damaged_value_is_refused_or_loads(explanation, data):
    saved = explanation.as_dict()
    key = data.draw(st.sampled_from(sorted(saved)))
    if data.draw(st.booleans()):
        saved[key] = data.draw(anything)
    else:
        del saved[key]
    malformed(lambda: io.from_dict(json.loads(json.dumps(saved))))


@quick
@given(data=st.data())
def test_any_damaged_element_is_refused_or_loads(explanation, data):
    saved = copy.deepcopy(explanation.as_dict())
    place = saved[data.draw(st.sampled_from(["tokens", "times", "importance", "attention", "words", "diagnostics"]))]
    while isinstance(place, list) and place and isinstance(place[0], (list, dict)) and data.draw(st.booleans()):
        place = place[0]
    if isinstance(place, dict):
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(anything)
    elif place:
        place[0] = data.draw(anything)
    malformed(lambda: io.from_dict(saved))


@quick
@given(junk=st.binary(max_size=80), at=st.integers(0, 24_000))
def test_any_damaged_bytes_are_refused_or_load(explanation, tmp_path, junk, at):
    explanation.save(tmp_path)
    path = tmp_path / "explanation.json"
    raw = path.read_bytes()
    path.write_bytes(raw[:at] + junk)
    malformed(lambda: Explanation.load(tmp_path))
    path.write_bytes(raw[:at] + junk + raw[at + len(junk):])
    malformed(lambda: Explanation.load(tmp_path))


@quick
@given(junk=st.binary(max_size=44), at=st.integers(0, 50))
def test_any_damaged_wave_is_refused_or_loads(make, tmp_path, junk, at):
    make(audio={"audio": np.zeros(50)}).save(tmp_path)
    path = tmp_path / "audio.wav"
    raw = path.read_bytes()
    path.write_bytes(raw[:at] + junk + raw[at + len(junk):])
    malformed(lambda: Explanation.load(tmp_path))
    path.write_bytes(raw[:at])
    assert malformed(lambda: Explanation.load(tmp_path))


@pytest.mark.parametrize("text, hint", [
    ("", "not valid JSON"), ("[" * 100_000, "nested too deep|not valid JSON"), ("NaN", "NaN is not allowed"),
    ("1" * 5000, "not valid JSON|not an explanation"),
    ('{"format": "pickle"}', "not an explanation"),
    ('{"format": "xattnmask/explanation", "version": 2}', "unknown version 2.*reads version 1"),
    ('{"format": "xattnmask/explanation", "version": true}', "unknown version"),
    ('{"format": "xattnmask/explanation", "version": 1}', "prompt, tokens, times"),
])
def test_hostile_files(tmp_path, text, hint):
    (tmp_path / "explanation.json").write_text(text)
    with pytest.raises(FormatError, match=hint) as caught:
        Explanation.load(tmp_path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("waves", [{"audio": "../../secret.wav"}, {"../x": "../x.wav"}, ["audio.wav"], {"audio": 3}])
def test_audio_paths_cannot_leave_the_folder(explanation, tmp_path, waves):
    explanation.save(tmp_path)
    path = tmp_path / "explanation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "audio": waves}))
    with pytest.raises(FormatError, match="audio"):
        Explanation.load(tmp_path)


def test_too_large_and_missing_files(explanation, tmp_path, monkeypatch):
    with pytest.raises(FormatError, match="no explanation at"):
        Explanation.load(tmp_path / "nowhere")
    explanation.save(tmp_path)
    monkeypatch.setattr(io, "MAX_BYTES", 1000)
    with pytest.raises(FormatError, match="too large"):
        Explanation.load(tmp_path)


def test_wave_of_another_rate_or_width(explanation, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    explanation.save(tmp_path)
    soundfile.write(tmp_path / "audio.wav", np.zeros(9), 44100, subtype="PCM_16")
    with pytest.raises(FormatError, match="44100 samples a second"):
        Explanation.load(tmp_path)
    soundfile.write(tmp_path / "audio.wav", np.zeros(9), 8000, subtype="PCM_24")
    with pytest.raises(FormatError, match="24-bit"):
        Explanation.load(tmp_path)
