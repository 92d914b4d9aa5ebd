"""From a caption and a seed to audio: where each source sounds, how loud, and mixed."""

from __future__ import annotations

import numpy as np

from .grammar import FORWARD, REVERSE, TOGETHER, Caption, Phrase
from .sources import SAMPLE_RATE, SOURCES, Draws, Manner

DURATION = 4.0
"""Seconds of every clip."""

_EDGE = 0.04
_SWITCH = (1.9, 2.1)
_AUDIBLE = 10 ** (-50 / 20)


def render(caption: Caption, seed: int) -> np.ndarray:
    """Audio float32 [64,000] of ``caption``; the seed fixes every random draw, whatever the words are."""
    return np.sum(tracks(caption, seed), axis=0).astype(np.float32)


def activity(caption: Caption, seed: int, frames: int) -> np.ndarray:
    """Which source can be heard in which frame: bool [frames, sources], the gaps inside a sound included."""
    active = np.zeros((frames, len(SOURCES)), dtype=bool)
    for phrase, track in zip(caption.phrases, tracks(caption, seed), strict=True):
        sounding = np.flatnonzero(frame_rms(track, frames) > _AUDIBLE)
        active[sounding[0] : sounding[-1] + 1, list(SOURCES).index(phrase.noun)] = True
    return active


def frame_rms(audio: np.ndarray, frames: int) -> np.ndarray:
    """Root mean square of ``audio`` [samples] in each of ``frames`` equal frames, [frames]."""
    usable = len(audio) // frames * frames
    return np.sqrt(np.mean(audio[:usable].astype(np.float64).reshape(frames, -1) ** 2, axis=1))


def tracks(caption: Caption, seed: int) -> list[np.ndarray]:
    """What each phrase sounds like by itself, [64,000] each, in the order of the text; their sum is the clip."""
    spans = _spans(caption.arrangement, Draws(seed, 0))
    return [
        _track(phrase, span, Draws(seed, 1 + slot))
        for slot, (phrase, span) in enumerate(zip(caption.phrases, spans, strict=False))
    ]


def _spans(arrangement: str | None, draws: Draws) -> list[tuple[float, float]]:
    """Start and end in seconds of each phrase, in the order of the text."""
    start, end = _EDGE, DURATION - _EDGE
    switch = draws.uniform("switch", *_SWITCH)
    first, second = (start, switch - _EDGE), (switch + _EDGE, end)
    return {
        None: [(start, end)],
        TOGETHER: [(start, end), (start, end)],
        FORWARD: [first, second],
        REVERSE: [second, first],
    }[arrangement]


def _track(phrase: Phrase, span: tuple[float, float], draws: Draws) -> np.ndarray:
    track = np.zeros(int(DURATION * SAMPLE_RATE))
    begin, end = (int(edge * SAMPLE_RATE) for edge in span)
    manner = Manner(phrase.speed, phrase.pitch, phrase.count)
    sound = SOURCES[phrase.noun](manner, draws, end - begin)
    ramp = np.minimum(1, np.arange(len(sound)) / (0.01 * SAMPLE_RATE))
    track[begin:end] = 0.6 * phrase.loudness * sound * ramp * ramp[::-1]
    return track
