"""The captions of the foley world: what can be said, and what each word means.

A caption is a row of units; a unit is one or more words of one class (``followed by`` is one). Swapping a
unit for another of its class gives another caption that renders; that is how truth is computed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .sources import SOURCES

COUNTS = {"once": 1, "twice": 2, "three times": 3}
LOUDNESS = {"loud": 1.0, "faint": 0.25}
SPEED = {"fast": 1.7, "slow": 0.6}
PITCH = {"high": 1.4, "low": 0.7}
FORWARD, REVERSE, TOGETHER = "forward", "reverse", "together"
CONNECTORS = {
    "then": FORWARD,
    "followed by": FORWARD,
    "before": FORWARD,
    "after": REVERSE,
    "while": TOGETHER,
    "and": TOGETHER,
}
CLASSES: dict[str, tuple[str, ...]] = {
    "noun": tuple(SOURCES),
    "loudness": tuple(LOUDNESS),
    "speed": tuple(SPEED),
    "pitch": tuple(PITCH),
    "count": tuple(COUNTS),
    "connector": tuple(CONNECTORS),
    "article": ("a", "an", "the"),
    "opener": ("we hear", "there is", "listen to", "this is"),
    "verb": ("sounds", "plays", "is heard"),
}
COUNTABLE = ("dog", "bell", "bird", "drum", "telephone")
"""Sources that are made of separate events."""
SPEEDED = ("dog", "siren", "bird", "clock", "drum", "telephone", "footsteps")
MASS = ("rain", "wind", "footsteps")
"""Sources that take no ``a``."""
PITCHED = ("dog", "siren", "bell", "bird", "engine", "drum", "whistle", "telephone")
BANDS = (
    ("engine", "drum"),
    ("dog", "wind", "footsteps"),
    ("siren", "telephone"),
    ("whistle", "clock"),
    ("bell", "bird", "rain"),
)
"""Sources that share a range of frequencies; sources of one band never sound together in a sampled caption."""


@dataclass(frozen=True)
class Unit:
    """One or more words that mean something together; ``kind`` is a class of :data:`CLASSES` or ``unknown``."""

    text: str
    kind: str


@dataclass(frozen=True)
class Phrase:
    """One source and how it sounds."""

    noun: str
    loudness: float = 0.5
    speed: float = 1.0
    pitch: float = 1.0
    count: int | None = None


@dataclass(frozen=True)
class Caption:
    """A caption as its units."""

    units: tuple[Unit, ...]

    @property
    def text(self) -> str:
        """The caption as a person types it."""
        return " ".join(unit.text for unit in self.units)

    @property
    def phrases(self) -> tuple[Phrase, ...]:
        """The sources it names, in the order of the text: one or two."""
        return tuple(_phrase(units) for units in _split(self.units))

    @property
    def arrangement(self) -> str | None:
        """``forward``, ``reverse`` or ``together``; None for a single source."""
        return next((CONNECTORS[unit.text] for unit in self.units if unit.kind == "connector"), None)

    @property
    def order(self) -> tuple[str, ...]:
        """The nouns in the order in which they sound."""
        nouns = tuple(phrase.noun for phrase in self.phrases)
        return nouns[::-1] if self.arrangement == REVERSE else nouns

    def unit_of_word(self) -> list[int]:
        """For each white-space-separated word, the index of its unit."""
        return [i for i, unit in enumerate(self.units) for _ in unit.text.split()]

    def swaps(self, index: int) -> Iterator[Caption]:
        """The captions in which the unit ``index`` is swapped for each other one of its class."""
        unit = self.units[index]
        for text in CLASSES.get(unit.kind, ()):
            if text != unit.text:
                units = list(self.units)
                units[index] = replace(unit, text=text)
                yield Caption(tuple(units))


def parse(text: str) -> Caption:
    """Read a caption; words the world does not know become units of kind ``unknown``, which change nothing.

    Raises ValueError when it names no source or more than two, or two without a connector between them.
    """
    known = {t: kind for kind, texts in CLASSES.items() for t in texts}
    pattern = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
    found = re.findall(rf"\b(?:{pattern})\b|\S+", text.lower())
    caption = Caption(tuple(Unit(t, known.get(t, "unknown")) for t in found))
    nouns = [unit for unit in caption.units if unit.kind == "noun"]
    connectors = [unit for unit in caption.units if unit.kind == "connector"]
    if not 1 <= len(nouns) <= 2 or len(connectors) != len(nouns) - 1:
        raise ValueError(f"a foley caption names one source, or two joined by one connector: {text!r}")
    if any(sum(unit.kind == "noun" for unit in part) != 1 for part in _split(caption.units)):
        raise ValueError(f"the connector must stand between the two sources: {text!r}")
    return caption


def sample_caption(rng: np.random.Generator, arrangement: str | None = "any", *, babble: float = 0.0) -> Caption:
    """Draw a caption.

    Args:
        rng: source of randomness.
        arrangement: ``forward``, ``reverse``, ``together``, ``successive``, None for a single source, or ``any``.
        babble: chance that a made-up word, which means nothing, stands somewhere in it.
    """
    if arrangement == "any":
        arrangement = (None, FORWARD, REVERSE, TOGETHER)[rng.choice(4, p=[0.2, 0.3, 0.15, 0.35])]
    if arrangement == "successive":
        arrangement = (FORWARD, REVERSE)[int(rng.random() < 0.3)]
    nouns = _sample_nouns(rng, arrangement)
    parts = [_sample_phrase(rng, noun) for noun in nouns[: 1 if arrangement is None else 2]]
    return _dress(rng, parts, arrangement, babble)


def rephrase(caption: Caption, rng: np.random.Generator, *, babble: float = 0.0) -> Caption:
    """Say the same in other words: new articles, openers, verbs and connector, what causes the sound kept."""
    fillers = ("article", "opener", "verb", "connector", "unknown")
    parts = [[unit for unit in part if unit.kind not in fillers] for part in _split(caption.units)]
    return _dress(rng, parts, caption.arrangement, babble)


def _sample_nouns(rng: np.random.Generator, arrangement: str | None) -> tuple[str, str]:
    first = _pick(rng, list(SOURCES))
    band = next(band for band in BANDS if first in band)
    barred = band if arrangement == TOGETHER else (first,)
    return first, _pick(rng, [noun for noun in SOURCES if noun not in barred])


def _sample_phrase(rng: np.random.Generator, noun: str) -> list[Unit]:
    """What causes the sound of one source: its noun with modifiers before and a count behind."""
    units: list[Unit] = []
    if rng.random() < 0.35:
        units.append(Unit(_pick(rng, CLASSES["loudness"]), "loudness"))
    counted = noun in COUNTABLE and rng.random() < 0.35
    if noun in SPEEDED and not counted and rng.random() < 0.3:
        units.append(Unit(_pick(rng, CLASSES["speed"]), "speed"))
    if noun in PITCHED and rng.random() < 0.3:
        units.append(Unit(_pick(rng, CLASSES["pitch"]), "pitch"))
    units.append(Unit(noun, "noun"))
    if counted:
        units.append(Unit(_pick(rng, CLASSES["count"]), "count"))
    return units


def _dress(
    rng: np.random.Generator, parts: Sequence[Sequence[Unit]], arrangement: str | None, babble: float
) -> Caption:
    """Join the parts by a connector and put the words around them that cause nothing."""
    units = [Unit(_pick(rng, CLASSES["opener"]), "opener")] if rng.random() < 0.35 else []
    for index, part in enumerate(parts):
        if index:
            connector = _pick(rng, [text for text, meaning in CONNECTORS.items() if meaning == arrangement])
            units.append(Unit(connector, "connector"))
        units += _dress_phrase(rng, part)
    if rng.random() < babble:
        units.insert(int(rng.integers(len(units) + 1)), Unit(_babble(rng), "unknown"))
    return Caption(tuple(units))


def _dress_phrase(rng: np.random.Generator, part: Sequence[Unit]) -> list[Unit]:
    noun = next(i for i, unit in enumerate(part) if unit.kind == "noun")
    verb = [Unit(_pick(rng, CLASSES["verb"]), "verb")] if rng.random() < 0.35 else []
    indefinite = "an" if part[0].text[0] in "aeiou" else "a"
    article = "the" if rng.random() < 0.4 or part[noun].text in MASS else indefinite
    return [Unit(article, "article"), *part[: noun + 1], *verb, *part[noun + 1 :]]


def _split(units: Sequence[Unit]) -> list[tuple[Unit, ...]]:
    at = next((i for i, unit in enumerate(units) if unit.kind == "connector"), len(units))
    return [part for part in (tuple(units[:at]), tuple(units[at + 1 :])) if part]


def _phrase(units: Sequence[Unit]) -> Phrase:
    words = {unit.kind: unit.text for unit in units}
    noun = words["noun"]
    return Phrase(
        noun,
        loudness=LOUDNESS.get(words.get("loudness", ""), 0.5),
        speed=SPEED.get(words.get("speed", ""), 1.0) if noun in SPEEDED else 1.0,
        pitch=PITCH.get(words.get("pitch", ""), 1.0) if noun in PITCHED else 1.0,
        count=COUNTS.get(words.get("count", "")) if noun in COUNTABLE else None,
    )


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _babble(rng: np.random.Generator) -> str:
    return "".join(chr(97 + c) for c in rng.integers(26, size=int(rng.integers(2, 8))))
