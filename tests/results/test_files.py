from __future__ import annotations

import os
from pathlib import Path

import pytest

from xattnmask.errors import OutputError
from xattnmask.results import Explanation, check_writable, files, io


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_check_makes_the_folder_and_leaves_nothing(tmp_path):
    assert check_writable(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert contents(tmp_path / "a" / "b") == {}


def test_check_finds_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        check_writable(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot write in"):
        check_writable(tmp_path / "file" / "inside")
    with pytest.raises(OutputError):
        check_writable("bad\0name")


def test_check_finds_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(OutputError, match="permission denied"):
        check_writable(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_check_finds_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"):
        check_writable(tmp_path)


@pytest.mark.parametrize("fault, expected", [
    (KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "No space left on device"), OutputError),
    (ZeroDivisionError(), ZeroDivisionError),
])
@pytest.mark.parametrize("nth", [0, 1])
def test_a_fault_while_writing_leaves_the_folder_as_it_was(make, tmp_path, monkeypatch, fault, expected, nth):
    make(seed=1).save(tmp_path)
    before, calls, write = contents(tmp_path), [], io.write_wave

    def failing(path, *args):
        calls.append(path)
        if len(calls) > nth:
            path.write_bytes(b"half")
            raise fault
        write(path, *args)

    monkeypatch.setattr(io, "write_wave", failing)
    with pytest.raises(expected):
        make(seed=2).save(tmp_path)
    assert contents(tmp_path) == before


def test_ctrl_c_while_renaming_finishes_first(make, tmp_path, monkeypatch):
    make(seed=1).save(tmp_path)
    replace, calls = os.replace, []

    def interrupted(a, b):
        replace(a, b)
        calls.append(b)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(seed=2).save(tmp_path)
    assert len(calls) == 3 and Explanation.load(tmp_path).seed == 2
    assert sorted(contents(tmp_path)) == ["audio.wav", "explanation.json", "factual.wav"]


def test_a_folder_in_the_way_of_a_file(explanation, tmp_path):
    (tmp_path / "explanation.json").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        explanation.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["explanation.json"]


def test_audio_of_the_last_explanation_does_not_stay_behind(make, explanation, tmp_path):
    (tmp_path / "mine.wav").write_bytes(b"kept")
    explanation.save(tmp_path)
    make(audio={"audio": explanation.audio["audio"]}).save(tmp_path)
    assert sorted(contents(tmp_path)) == ["audio.wav", "explanation.json", "mine.wav"]


def test_saved_files_get_ordinary_permissions(explanation, tmp_path):
    explanation.save(tmp_path)
    (tmp_path / "other").write_text("")
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert len(modes) == 1
