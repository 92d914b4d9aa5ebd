"""Reading and writing explanations: ``explanation.json`` beside one WAV file for each audio.

The JSON (UTF-8, strict: no NaN, no pickle) can be read without this library. Keys: ``format``
("xattnmask/explanation"), ``version`` (1), ``prompt``, ``words`` (text, start, end, importance: the mean
over time, for readers; recomputed on loading), and the attributes of
:class:`~xattnmask.results.explanation.Explanation`, with ``audio`` as {name: file}. Every float32 is
written as the shortest decimal that reads back as the same float32.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import FormatError, SettingError
from ..text import Token
from . import checks
from .explanation import Explanation
from .files import Write, write_files
from .numbers import compact
from .wave_file import read_wave, write_wave

FORMAT = "xattnmask/explanation"
VERSION = 1
FILE = "explanation.json"
MAX_BYTES = 256 * 2**20

_COPIED = ("method", "model", "checkpoint", "seed", "settings", "generation_settings", "versions", "losses",
           "converged", "diagnostics", "metrics", "sample_rate")
_REQUIRED = ("prompt", "tokens", "times", "importance", "method", "model", "checkpoint", "seed")
_OPTIONAL = ("steps", "step_importance", "step_time_importance", "step_weights", "attention", "attention_map")


def to_dict(explanation: Explanation) -> dict[str, Any]:
    """``explanation`` as the JSON-able content of ``explanation.json``."""
    e = explanation
    return {
        "format": FORMAT,
        "version": VERSION,
        "prompt": e.prompt,
        "words": e.words().as_dicts(),
        "tokens": [{"id": int(t.id), "text": t.text, "start": int(t.start), "end": int(t.end),
                    "special": bool(t.special)} for t in e.tokens],
        **{name: getattr(e, name) for name in _COPIED if name != "diagnostics"},
        "diagnostics": list(e.diagnostics),
        "audio": {name: _wave_name(name) for name in e.audio},
        "times": e.times.tolist(),
        "steps": None if e.steps is None else e.steps.tolist(),
        "importance": compact(e.importance),
        **{name: None if (value := getattr(e, name)) is None else compact(value)
           for name in ("step_importance", "step_time_importance")},
        "step_weights": dict(e.step_weights),
        "attention": None if e.attention is None else compact(e.attention),
        "attention_map": None if e.attention_map is None else e.attention_map.as_dict(),
    }


def from_dict(data: Any) -> Explanation:
    """The explanation in ``data`` as :func:`to_dict` made it, without audio.

    Raises:
        FormatError: ``data`` is malformed, or of an unknown version.
    """
    _check_header(data)
    missing = [name for name in _REQUIRED if name not in data]
    if missing:
        raise FormatError(f"not a whole explanation: {', '.join(missing)} missing")
    values = {name: data[name] for name in (*_REQUIRED, *_COPIED, *_OPTIONAL) if name in data}
    values["tokens"] = _tokens(data["tokens"])
    try:
        return Explanation(**values)
    except SettingError as error:
        raise FormatError(f"malformed explanation: {error}") from error
    except RecursionError as error:
        raise FormatError("malformed explanation: nested too deep") from error


def save(explanation: Explanation, folder: str | os.PathLike[str]) -> None:
    """Write ``explanation`` into ``folder``, all files or none; ``explanation.json`` is renamed last.

    Audio is 16-bit PCM, which everything plays: samples are clipped to [-1, 1) and rounded to steps of
    2**-15 once (saving what was loaded changes nothing more). Audio that an explanation saved there before
    holds, and this one does not, is removed.

    Raises:
        OutputError: the folder cannot be written.
    """
    writers: dict[str, Write] = {
        _wave_name(name): _writer(write_wave, sound, explanation.sample_rate)
        for name, sound in explanation.audio.items()
    }
    stale = [Path(folder, name) for name in _saved_waves(Path(folder, FILE)) if name not in writers]
    text = _dumps(to_dict(explanation))
    writers[FILE] = lambda path: path.write_text(text, encoding="utf-8")
    write_files(folder, writers)
    for path in stale:
        path.unlink(missing_ok=True)


def load(folder: str | os.PathLike[str], audio: bool = True) -> Explanation:
    """The explanation saved in ``folder`` (or at the path of its JSON file).

    Raises:
        FormatError: a file is missing, malformed, too large or of an unknown version.
    """
    path = Path(folder)
    path = path / FILE if path.is_dir() else path
    data = _read_json(path)
    try:
        explanation = from_dict(data)
        waves = _waves(data)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    if not audio:
        return explanation
    rate = explanation.sample_rate
    if waves and not rate:
        raise FormatError(f"{path}: malformed explanation: audio needs a sample_rate above 0")
    try:
        return replace(explanation, audio={name: read_wave(path.parent / file, rate) for name, file in waves.items()})
    except SettingError as error:
        raise FormatError(f"{path}: {error}") from error


def _dumps(data: dict[str, Any]) -> str:
    lines = (f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in data.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _writer(write: Callable[..., object], *values: Any) -> Write:
    return lambda path: write(path, *values)


def _wave_name(name: str) -> str:
    return f"{name}.wav"


def _read_json(path: Path) -> Any:
    try:
        if not path.is_file():
            raise FormatError(f"no explanation at {path}")
        if path.stat().st_size > MAX_BYTES:
            raise FormatError(f"{path} is larger than {MAX_BYTES // 2**20} MiB, too large for an explanation")
        return json.loads(path.read_bytes().decode("utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    except RecursionError as error:
        raise FormatError(f"{path} is not an explanation: nested too deep") from error
    except FormatError:
        raise
    except ValueError as error:
        raise FormatError(f"{path} is not valid JSON: {error}") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


def _check_header(data: Any) -> None:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise FormatError(f'not an explanation: "format" is not "{FORMAT}"')
    version = data.get("version")
    if type(version) is not int or version != VERSION:
        raise FormatError(f"unknown version {str(version)[:20]} of the format; this xattnmask reads version {VERSION}")


def _tokens(data: Any) -> tuple[Token, ...]:
    if not isinstance(data, list):
        raise FormatError("malformed explanation: tokens must be a list")
    return tuple(_token(index, item) for index, item in enumerate(data))


def _token(index: int, item: Any) -> Token:
    kinds = {"id": int, "text": str, "start": int, "end": int, "special": bool}
    if not isinstance(item, dict) or any(type(item.get(key)) is not kind for key, kind in kinds.items()):
        raise FormatError(f"malformed explanation: tokens[{index}] needs id, text, start, end, special")
    return Token(**{key: item[key] for key in kinds})


def _waves(data: Any) -> dict[str, str]:
    """Names and files of the audio; a file other than NAME.wav (a path out of the folder) is refused."""
    waves = data.get("audio", {}) if isinstance(data, dict) else {}
    if not isinstance(waves, dict):
        raise FormatError("malformed explanation: audio must be an object")
    for name, file in waves.items():
        if not checks.AUDIO_NAME.fullmatch(name) or file != _wave_name(name):
            raise FormatError(f"malformed explanation: audio {name[:64]!r} must be in the file NAME.wav")
    return waves


def _saved_waves(path: Path) -> list[str]:
    try:
        data = _read_json(path)
        _check_header(data)
        return list(_waves(data).values())
    except FormatError:
        return []
