"""What the report shows of an explanation, as JSON-able data: words, their importance by frame and step, sounds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SettingError
from ...results.aggregate import merge_subwords
from ...results.explanation import Explanation
from .sounds import GIVEN, sounds_data

MAX_CELLS = 120_000
"""Frames by words that a page holds at most; more frames than that allows are averaged in pairs, threes, ..."""


def explanation_data(explanation: Explanation) -> dict[str, Any]:
    """Everything the report's template and script need.

    Raises:
        SettingError: the prompt has no words.
    """
    if not explanation.words_in_prompt:
        raise SettingError("there are no words to report on in this prompt")
    return {
        "prompt": explanation.prompt,
        "pieces": pieces(explanation),
        "head": head(explanation),
        "diagnostics": list(explanation.diagnostics),
        "tables": tables(explanation),
        "heat": heat(explanation),
        "steps": steps(explanation),
        "sounds": sounds(explanation),
    }


def sounds(explanation: Explanation) -> list[dict[str, Any]]:
    """The sounds of the explanation, in the order in which they are shown."""
    found = sounds_data(explanation.audio, explanation.sample_rate)
    if explanation.generation_settings.get("encoded"):
        found = [{**sound, "what": GIVEN} if sound["name"] == "audio" else sound for sound in found]
    return found


def pieces(explanation: Explanation) -> list[dict[str, Any]]:
    """The prompt cut into words and what stands between: ``text``, and ``word``, its index, or None."""
    found: list[dict[str, Any]] = []
    at = 0
    for index, word in enumerate(explanation.words_in_prompt):
        if word.start > at:
            found.append({"text": explanation.prompt[at : word.start], "word": None})
        found.append({"text": word.text, "word": index})
        at = word.end
    if at < len(explanation.prompt):
        found.append({"text": explanation.prompt[at:], "word": None})
    return found


def head(explanation: Explanation) -> list[tuple[str, str]]:
    """What explained what, in a few words each."""
    seconds = float(explanation.times[-1] - explanation.times[0])
    made = ("sound", "given") if explanation.generation_settings.get("encoded") else ("seed", str(explanation.seed))
    return [("model", explanation.checkpoint), ("method", explanation.method), made, ("length", f"{seconds:.1f} s")]


def heat(explanation: Explanation) -> dict[str, Any]:
    """Importance by frame of every word, then of every special token; with the edges of the frames in seconds."""
    labels = [{"text": word.text, "special": False} for word in explanation.words_in_prompt]
    labels += [{"text": text, "special": True} for text in _special(explanation)]
    times, values = _fewer(explanation.times, _columns(explanation, explanation.importance), _group(explanation))
    return {"labels": labels, "times": _rounded(times, 4), "values": _rounded(values, 4)}


def steps(explanation: Explanation) -> dict[str, Any] | None:
    """Importance by denoising step [steps, words], and by frame too where the explanation has that; or None.

    ``noise`` is the share of noise at each step, or None.
    """
    if explanation.steps is None or explanation.step_importance is None:
        return None
    cells, group = explanation.step_time_importance, _group(explanation)
    frames = None if cells is None else [
        _rounded(_fewer(explanation.times, _columns(explanation, one), group)[1], 3) for one in cells]
    noise = explanation.step_weights.get("noise")
    return {
        "steps": _rounded(explanation.steps, 4),
        "noise": None if noise is None else _rounded(np.asarray(noise), 4),
        "values": _rounded(_columns(explanation, explanation.step_importance), 4),
        "frames": frames,
    }


def tables(explanation: Explanation) -> list[tuple[str, list[tuple[str, str]]]]:
    """Settings, versions and outcome, as titled rows of text."""
    final = {name: curve[-1] for name, curve in explanation.losses.items() if curve}
    outcome: dict[str, Any] = {
        "frames": len(explanation.importance), "tokens": len(explanation.tokens),
        **({} if explanation.converged is None else {"settled": explanation.converged}),
        **{f"final loss, {name}": value for name, value in final.items()}, **explanation.metrics,
    }
    model = {"model": explanation.model, "checkpoint": explanation.checkpoint, **explanation.generation_settings}
    parts = {"Generation": model, "Method": {"method": explanation.method, **explanation.settings},
             "Outcome": outcome, "Versions": explanation.versions}
    return [(title, _rows(values)) for title, values in parts.items() if values]


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, _text(value)) for name, value in values.items()]


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not set"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _special(explanation: Explanation) -> list[str]:
    return [token.text or "(empty)" for token in explanation.tokens if token.special]


def _columns(explanation: Explanation, matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Words, then special tokens, [rows, words + special tokens], of ``matrix`` [rows, tokens]."""
    special = [index for index, token in enumerate(explanation.tokens) if token.special]
    words = merge_subwords(matrix, explanation.words_in_prompt)
    return np.concatenate([words, matrix[:, special]], axis=1).astype(np.float64)


def _group(explanation: Explanation) -> int:
    """How many neighbouring frames are averaged into one, so that all frames of all steps keep to MAX_CELLS."""
    cells = explanation.step_time_importance
    copies = 1 if cells is None else len(cells)
    return max(-(-explanation.importance.size * copies // MAX_CELLS), 1)


def _fewer(times: npt.NDArray[np.float64], values: npt.NDArray[np.float64],
           group: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """``times`` [T + 1] and ``values`` [T, W] with so many neighbouring frames averaged into one."""
    if group <= 1:
        return times, values
    starts = np.arange(0, len(values), group)
    durations = np.diff(times)
    total = np.add.reduceat(values * durations[:, None], starts, axis=0)
    return times[[*starts, len(values)]], total / np.add.reduceat(durations, starts)[:, None]


def _rounded(values: npt.NDArray[Any], digits: int) -> Any:
    return np.round(np.asarray(values, dtype=np.float64), digits).tolist()
