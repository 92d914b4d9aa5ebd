"""The result of explaining a generation: data, and ways to look at it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import SettingError
from ..text import Token, Word, find_word, words_of
from . import checks, frames
from .aggregate import Aggregate, Subwords, attention_mass, merge_subwords, over_time
from .attention_map import AttentionMap
from .bars import printable
from .numbers import compact
from .steps import DEFAULT_AGGREGATE, StepAggregate, over_frames, over_steps
from .table import WordScore, WordTable

_SLACK = 1e-3  # seconds an interval may reach past the ends: times are shown to a millisecond
_TOUCH = 1e-6  # seconds two spans must share to overlap: frame edges carry rounding errors


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which words of a prompt made which part of a sound.

    Arrays are stored read-only, settings as JSON can hold them; wrong shapes, NaN and spans outside the
    prompt raise :class:`SettingError`. Two explanations are equal when all but their audio is.

    Attributes:
        prompt: the text.
        tokens: its tokens, in the order of the text keys; length L.
        times: float64 [T + 1], edges of the frames in seconds.
        importance: float32 [T, L], the higher the more a token matters in a frame.
        method, model, checkpoint: what explained what.
        seed: the seed of the generation.
        steps: float64 [S], the explained denoising steps counted from 0, or None for an autoregressive model.
        step_importance: float32 [S, L], importance by denoising step, the mean over time, or None.
        step_time_importance: float32 [S, T, L], importance by denoising step and frame, or None; ``importance`` is its
            aggregate over steps, see :meth:`over_steps`.
        step_weights: by name, one number a step: how far the ``text`` moves the model there, the share of ``noise``,
            the ``attention`` on the words.
        attention: float32 [T, L], mean attention of a frame to a token, or None; weights for
            ``words(aggregate="attention")``.
        attention_map: attention by token, time and frequency, of models whose latents are a spectrogram; or None.
        settings: all settings of the method, its seed included. generation_settings: those of the generation.
        versions: version by library.
        losses: curves by name (``total``, ``factual``, ``counterfactual``, ``size``), one value a step.
        converged: whether the optimisation settled; None where that means nothing.
        diagnostics: doubts about this result, in sentences; see :func:`xattnmask.results.diagnose`.
        metrics: scores by name.
        sample_rate: samples a second of ``audio``; 0 without audio.
        audio: float32 [samples] or [channels, samples] by name ("audio", "factual", "counterfactual");
            sample 0 is at ``times[0]``.
    """

    prompt: str
    tokens: tuple[Token, ...] = field(repr=False)
    times: npt.NDArray[np.float64] = field(repr=False)
    importance: npt.NDArray[np.float32] = field(repr=False)
    method: str
    model: str
    checkpoint: str
    seed: int
    steps: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    step_importance: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    step_time_importance: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    step_weights: Mapping[str, Sequence[float]] = field(default_factory=dict, repr=False)
    attention: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    attention_map: AttentionMap | None = field(default=None, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    generation_settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    versions: Mapping[str, str] = field(default_factory=dict, repr=False)
    losses: Mapping[str, Sequence[float | None]] = field(default_factory=dict, repr=False)
    converged: bool | None = None
    diagnostics: tuple[str, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sample_rate: int = field(default=0, repr=False)
    audio: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name, value in _checked(self):
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Explanation):
            return NotImplemented
        names = [f.name for f in fields(self) if f.name not in ("audio", "sample_rate")]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    @property
    def words_in_prompt(self) -> tuple[Word, ...]:
        """The W words of the prompt with the indices of their tokens; a repeated word appears twice."""
        return words_of(self.prompt, self.tokens)

    @property
    def durations(self) -> npt.NDArray[np.float64]:
        """Float64 [T], length of each frame in seconds."""
        return np.diff(self.times)

    def word_importance(self, subwords: Subwords = "max",
                        by: Literal["time", "step"] = "time") -> npt.NDArray[np.float32]:
        """Importance by word: float32 [T, W], or [S, W] with ``by="step"``; sub-words are merged.

        Raises:
            SettingError: an unknown choice, or ``by="step"`` where there are no denoising steps.
        """
        if by not in ("time", "step"):
            raise SettingError(f"by must be one of time, step, not {by!r}")
        matrix = self.importance if by == "time" else self.step_importance
        if matrix is None:
            raise SettingError("this explanation has no importance by denoising step")
        return merge_subwords(matrix, self.words_in_prompt, subwords)

    def words(self, aggregate: Aggregate = "mean", subwords: Subwords = "max") -> WordTable:
        """How much each word matters over all frames, in the order of the prompt.

        Args:
            aggregate: over time: "mean" (frames weighted by duration), "max", or "attention" (weighted by how
                much a frame attends to the word).
            subwords: how the tokens of one word are merged first, in each frame.

        Raises:
            SettingError: an unknown choice, or "attention" where no attention was recorded.
        """
        words = self.words_in_prompt
        mass = None if self.attention is None else attention_mass(self.attention, words)
        scores = over_time(self.word_importance(subwords), self.durations, aggregate, mass)
        return _table(words, scores)

    def word_map(self, word: str, subwords: Subwords = "max") -> npt.NDArray[np.float32]:
        """Attention on a word by time and frequency, float32 [time, frequency]; edges are those of ``attention_map``.

        Args:
            word: as it stands in the prompt; ``siren#2`` is the second of several.
            subwords: how the maps of its tokens are merged.

        Raises:
            SettingError: the prompt has no such word, or the model's latents are no spectrogram.
        """
        found = find_word(word, self.words_in_prompt)
        if self.attention_map is None:
            raise SettingError("this explanation has no map of time and frequency: it needs attention on words over a "
                               "spectrogram, as audioldm2 has it")
        values = self.attention_map.values
        return merge_subwords(values.reshape(len(values), -1).T, (found,), subwords)[:, 0].reshape(values.shape[1:])

    def special(self, aggregate: Literal["mean", "max"] = "mean") -> WordTable:
        """The special tokens (end of sentence, padding), which never enter a word's score, apart."""
        found = [(token, index) for index, token in enumerate(self.tokens) if token.special]
        columns = self.importance[:, [index for _, index in found]]
        return _table([token for token, _ in found], over_time(columns, self.durations, aggregate))

    def interval(self, start: float, end: float) -> Explanation:
        """This explanation restricted to the frames that overlap ``start`` to ``end`` (seconds).

        Frames stay whole and keep their times, and the audio is cut to them. What concerns the whole run
        (settings, losses, diagnostics, metrics) stays as it is.

        Raises:
            SettingError: the interval is empty or reaches outside the audio.
        """
        first, last = float(self.times[0]), float(self.times[-1])
        if not start < end:
            raise SettingError(f"interval {start} to {end} s is empty: the start must be below the end")
        if start < first - _SLACK or end > last + _SLACK:
            raise SettingError(f"interval {start} to {end} s reaches outside the audio, {first:.3f} to {last:.3f} s")
        inside = (self.times[:-1] < end - _TOUCH) & (self.times[1:] > start + _TOUCH)
        if not inside.any():
            raise SettingError(f"interval {start} to {end} s holds no frame")
        begin, stop = int(inside.argmax()), len(inside) - int(inside[::-1].argmax())
        samples = slice(*(round(float(t - first) * self.sample_rate) for t in self.times[[begin, stop]]))
        times, by_step = self.times[begin:stop + 1], self.step_time_importance
        cells = None if by_step is None else by_step[:, begin:stop]
        return replace(
            self,
            times=times,
            importance=self.importance[begin:stop],
            step_time_importance=cells,
            step_importance=self.step_importance if cells is None else over_frames(cells, np.diff(times)),
            attention=None if self.attention is None else self.attention[begin:stop],
            attention_map=self.attention_map and self.attention_map.between(times[0], times[-1]),
            audio={name: sound[..., samples] for name, sound in self.audio.items()},
        )

    def over_steps(self, aggregate: StepAggregate = DEFAULT_AGGREGATE,
                   window: tuple[float, float] = (0.0, 1.0)) -> Explanation:
        """This explanation with ``importance`` aggregated over denoising steps in another way.

        Args:
            aggregate: "mean", "max", or the mean weighted by how far the "text" moves the model at each step (what an
                explanation comes with), by the share of "noise" or by the "attention" on the words.
            window: the part of the steps that counts, as shares of their number: (0, 0.5) for the early half.

        Raises:
            SettingError: there are no denoising steps, or a choice is unknown or out of range.
        """
        if self.step_time_importance is None:
            raise SettingError("this explanation has no importance by denoising step")
        return replace(self, importance=over_steps(self.step_time_importance, self.step_weights, aggregate, window))

    def to_dataframe(self) -> Any:
        """A long pandas DataFrame: time, end, word, index, importance. Raises MissingLibraryError."""
        return frames.to_dataframe(self)

    def to_xarray(self) -> Any:
        """An xarray DataArray [time, word] with coordinates. Raises MissingLibraryError."""
        return frames.to_xarray(self)

    def as_dict(self) -> dict[str, Any]:
        """What ``explanation.json`` holds, as JSON-able data."""
        from .io import to_dict

        return to_dict(self)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``explanation.json`` and NAME.wav for each audio into ``folder``; all or nothing.

        Raises:
            OutputError: the folder cannot be written.
        """
        from .io import save

        save(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], audio: bool = True) -> Explanation:
        """Read what :meth:`save` wrote, from its folder or the JSON file itself; needs no model and no torch.

        Args:
            folder: the folder, or the path of an ``explanation.json``.
            audio: read the WAV files too; with False they may be missing.

        Raises:
            FormatError: a file is missing, malformed or of an unknown version.
        """
        from .io import load

        return load(folder, audio)

    def _repr_html_(self) -> str:
        from ..html import explanation_html

        return explanation_html(self)

    def __str__(self) -> str:
        first, last = self.times[0], self.times[-1]
        head = (f'"{printable(self.prompt)}"\n{self.model} ({self.checkpoint}), seed {self.seed}, '
                f"method {self.method}, {first:.2f} to {last:.2f} s in {len(self.importance)} frames")
        doubts = [f"Note: {sentence}" for sentence in self.diagnostics]
        return "\n".join([head, "", str(self.words()), *([""] if doubts else []), *doubts])


def _checked(e: Explanation) -> list[tuple[str, Any]]:
    prompt = checks.text("prompt", e.prompt)
    tokens = checks.tokens(e.tokens, prompt)
    times = checks.edges("times", e.times)
    frames_, columns = len(times) - 1, len(tokens)
    steps = None if e.steps is None else checks.vector("steps", e.steps)
    if steps is None and (e.step_importance is not None or e.step_time_importance is not None):
        raise SettingError("importance by step needs steps")
    rows = 0 if steps is None else len(steps)
    rate = checks.rate(e.sample_rate)
    return [
        ("tokens", tokens), ("times", times), ("steps", steps), ("sample_rate", rate),
        ("importance", checks.matrix("importance", e.importance, frames_, columns, "frames")),
        ("attention", None if e.attention is None
         else checks.matrix("attention", e.attention, frames_, columns, "frames")),
        ("step_importance", None if e.step_importance is None
         else checks.matrix("step_importance", e.step_importance, rows, columns, "steps")),
        ("step_time_importance", None if e.step_time_importance is None
         else checks.cube("step_time_importance", e.step_time_importance, rows, frames_, columns)),
        ("step_weights", checks.weights(e.step_weights, rows)),
        ("attention_map", None if e.attention_map is None else AttentionMap.of(e.attention_map, columns)),
        *((name, checks.text(name, getattr(e, name))) for name in ("method", "model", "checkpoint")),
        ("seed", checks.whole("seed", e.seed)),
        *((name, checks.settings(name, getattr(e, name)))
          for name in ("settings", "generation_settings", "versions", "metrics")),
        ("losses", checks.curves(e.losses)), ("converged", checks.verdict(e.converged)),
        ("diagnostics", checks.sentences(e.diagnostics)), ("audio", checks.sounds(e.audio, rate)),
    ]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(type(a) is type(b) and a == b)


def _table(spans: Sequence[Word | Token], scores: npt.NDArray[np.float64]) -> WordTable:
    numbers = compact(scores.astype(np.float32))
    return WordTable([WordScore(s.text, s.start, s.end, score) for s, score in zip(spans, numbers, strict=True)])
