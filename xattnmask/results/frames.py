"""Explanations for pandas and xarray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .optional import pandas, xarray

if TYPE_CHECKING:
    from .explanation import Explanation


def to_dataframe(explanation: Explanation) -> Any:
    """A long pandas DataFrame, a row for each frame and word: time, end, word, index, importance."""
    words = explanation.words_in_prompt
    frames = explanation.importance.shape[0]
    return pandas().DataFrame({
        "time": np.repeat(explanation.times[:-1], len(words)),
        "end": np.repeat(explanation.times[1:], len(words)),
        "word": [word.text for word in words] * frames,
        "index": np.tile(np.arange(len(words)), frames),
        "importance": explanation.word_importance().ravel(),
    })


def to_xarray(explanation: Explanation) -> Any:
    """An xarray DataArray [time, word] named importance; time is where a frame starts, in seconds.

    Further coordinates: ``end`` (where the frame ends), ``char_start`` and ``char_end`` (the word's span).
    """
    words = explanation.words_in_prompt
    return xarray().DataArray(
        explanation.word_importance(),
        dims=("time", "word"),
        coords={
            "time": ("time", explanation.times[:-1], {"units": "s"}),
            "end": ("time", explanation.times[1:], {"units": "s"}),
            "word": ("word", np.array([word.text for word in words], dtype=object)),
            "char_start": ("word", np.array([word.start for word in words], dtype=np.int64)),
            "char_end": ("word", np.array([word.end for word in words], dtype=np.int64)),
        },
        name="importance",
        attrs={"prompt": explanation.prompt, "method": explanation.method, "model": explanation.model,
               "checkpoint": explanation.checkpoint, "seed": explanation.seed},
    )
