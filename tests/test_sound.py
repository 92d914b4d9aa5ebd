"""Sound files: reading, resampling, channels, and what a page plays."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile

from xattnmask import FormatError, SettingError, read_audio
from xattnmask.sound import PACKED_BYTES, check_audio, data_uri, resample, with_channels


def tone(hertz, rate, seconds=1.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def loudest(audio, rate):
    return np.fft.rfftfreq(len(audio), 1 / rate)[np.abs(np.fft.rfft(audio)).argmax()]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.aiff"])
def test_common_formats(tmp_path, name):
    soundfile.write(tmp_path / name, tone(440, 8000), 8000)
    audio, rate = read_audio(tmp_path / name)
    assert rate == 8000 and audio.dtype == np.float32 and audio.shape == (8000,)
    assert loudest(audio, rate) == pytest.approx(440, abs=2)


def test_several_channels_come_first(tmp_path):
    left, right = tone(440, 8000), tone(880, 8000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 8000)
    audio, _ = read_audio(tmp_path / "a.wav")
    assert audio.shape == (2, 8000)
    np.testing.assert_allclose(audio, [left, right], atol=1e-4)


@pytest.mark.parametrize(("content", "told"), [
    (None, "no sound file at"), (b"", "cannot read"), (b"not a sound", "cannot read"), (b"RIFF\x00\x00", "cannot read"),
])
def test_what_is_no_sound(tmp_path, content, told):
    if content is not None:
        (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(FormatError, match=told) as error:
        read_audio(tmp_path / "a.wav")
    assert "\n" not in str(error.value)


def test_an_empty_one_a_long_one_and_one_with_nan(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    soundfile.write(tmp_path / "long.wav", np.zeros(601 * 100), 100)
    soundfile.write(tmp_path / "nan.wav", np.full(10, np.nan), 8000, subtype="FLOAT")
    for name, told in (("empty", "empty"), ("long", "longer than 600 s"), ("nan", "NaN")):
        with pytest.raises(FormatError, match=told):
            read_audio(tmp_path / f"{name}.wav")
    with pytest.raises(FormatError, match="no sound file"):
        read_audio(tmp_path)


@pytest.mark.parametrize("value", [np.zeros((2, 3, 4)), np.zeros(3, int), "no", np.zeros((2, 0)), np.array([np.inf])])
def test_what_is_no_audio(value):
    with pytest.raises(SettingError):
        check_audio(value)


@pytest.mark.parametrize(("rate", "wanted"), [(44100, 16000), (16000, 44100), (8000, 32000), (16000, 16000)])
def test_resampling_keeps_pitch_and_length(rate, wanted):
    made = resample(np.stack([tone(440, rate), tone(880, rate)]), rate, wanted)
    assert made.dtype == np.float32 and made.shape == (2, wanted)
    assert [loudest(channel, wanted) for channel in made] == pytest.approx([440, 880], abs=2)
    np.testing.assert_allclose(made[0, 500:-500], tone(440, wanted)[500:-500], atol=0.02)


def test_resampling_leaves_nothing_above_half_the_new_rate():
    assert np.abs(resample(tone(6000, 32000), 32000, 8000)[200:-200]).max() < 1e-3


def test_a_rate_is_above_0():
    with pytest.raises(SettingError, match="above 0, not 0"):
        resample(np.zeros(3, np.float32), 0, 8000)


def test_channels():
    stereo = np.array([[1, 3], [3, 5]], np.float32)
    assert with_channels(stereo, 1).tolist() == [[2, 4]]
    assert with_channels(stereo, 2) is not None and with_channels(stereo, 2).tolist() == stereo.tolist()
    assert with_channels(stereo[0], 2).tolist() == [[1, 3], [1, 3]]
    assert with_channels(np.ones((5, 2), np.float32), 2).tolist() == [[1, 1], [1, 1]]


def unpacked(uri):
    kind, _, data = uri.partition(";base64,")
    return kind, *soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="float32")


def test_a_short_sound_is_packed_without_loss():
    audio = tone(440, 16000)
    kind, found, rate = unpacked(data_uri(audio, 16000))
    assert (kind, rate) == ("data:audio/flac", 16000)
    np.testing.assert_allclose(found, audio, atol=2.0**-15)


def test_a_large_one_is_made_small():
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 10 * 44100)).astype(np.float32)
    uri = data_uri(noise, 44100)
    kind, found, _ = unpacked(uri)
    assert kind == "data:audio/ogg" and found.shape == (441000, 2)
    assert len(uri) < 4 / 3 * PACKED_BYTES + 100


def test_rates_that_browsers_refuse_are_raised():
    _, found, rate = unpacked(data_uri(tone(300, 1600), 1600))
    assert rate == 8000 and loudest(found, rate) == pytest.approx(300, abs=2)


def test_loud_samples_are_clipped_and_many_channels_averaged():
    _, found, _ = unpacked(data_uri(np.array([[2.0] * 100, [-4.0] * 100, [5.0] * 100], np.float32), 16000))
    assert found.ndim == 1 and found.max() == pytest.approx(1, abs=1e-3)
