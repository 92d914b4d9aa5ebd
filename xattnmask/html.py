"""Explanations, generations and word tables as HTML for notebooks; for a whole page see xattnmask.render.report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .results.explanation import Explanation
    from .results.table import WordTable

_BLUE = "54, 120, 190"
_MOST_OPAQUE = 0.55  # the notebook's own text colour stays readable on it, in light and dark themes


def table_html(table: WordTable) -> str:
    """Words with bars and numbers."""
    top = max((abs(row.importance) for row in table), default=0.0) or 1.0
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(row.text)}</th>"
        f"<td style='text-align:left;width:240px'><div style='height:1em;border-radius:3px;background:rgba({_BLUE},.8);"
        f"width:{100 * max(row.importance, 0) / top:.1f}%'></div></td>"
        f"<td style='text-align:right'>{row.importance:.3g}</td></tr>"
        for row in table
    )
    return (f"<table><thead><tr><th style='text-align:left'>word</th><th></th><th>importance</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>")


def explanation_html(explanation: Explanation) -> str:
    """The prompt shaded by importance, the words, doubts, and the sounds, which play."""
    doubts = "".join(f"<li>{escape(sentence)}</li>" for sentence in explanation.diagnostics)
    sounds = "".join(_player(sound, explanation.sample_rate, name) for name, sound in explanation.audio.items())
    words = explanation.words()
    spans = [(row.start, row.end) for row in words]
    return (
        f"<div>{_prompt(explanation.prompt, spans, [row.importance for row in words])}"
        f"<p>{escape(explanation.checkpoint)}, method {escape(explanation.method)}, seed {explanation.seed}</p>"
        f"{table_html(words)}{f'<ul>{doubts}</ul>' if doubts else ''}{sounds}</div>"
    )


def sound_html(prompt: str, audio: npt.NDArray[np.float32], sample_rate: int, caption: str) -> str:
    """A prompt and its sound, float32 [samples] or [channels, samples], which plays."""
    return f"<div><p style='font-size:1.2em'>{escape(prompt)}</p>{_player(audio, sample_rate, caption)}</div>"


def progress_html(text: str, done: int, total: int | None) -> str:
    """A progress bar; without ``total`` one that only shows that something goes on."""
    value = "" if total is None else f" max='{total}' value='{done}'"
    return f"<div><progress{value} style='width:300px'></progress> {escape(text)}</div>"


def _prompt(prompt: str, spans: Sequence[tuple[int, int]], scores: Sequence[float]) -> str:
    top = max((score for score in scores if score > 0), default=1.0)
    parts, at = [], 0
    for (start, end), score in zip(spans, scores, strict=True):
        parts.append(escape(prompt[at:start]))
        opacity = _MOST_OPAQUE * max(score, 0) / top
        parts.append(f"<span style='background:rgba({_BLUE},{opacity:.3f});border-radius:3px;padding:0 .15em' "
                     f"title='{score:.3g}'>{escape(prompt[start:end])}</span>")
        at = end
    return f"<p style='font-size:1.4em'>{''.join(parts)}{escape(prompt[at:])}</p>"


def _player(audio: npt.NDArray[np.float32], rate: int, caption: str) -> str:
    from .sound import data_uri

    if not audio.shape[-1]:
        return ""
    return (f"<figure style='margin:.4em 0'><figcaption>{escape(caption)}</figcaption>"
            f"<audio controls preload='metadata' src='{data_uri(audio, rate)}'></audio></figure>")
