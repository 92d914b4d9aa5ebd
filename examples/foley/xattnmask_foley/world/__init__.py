"""The foley world: captions from a grammar, sounds rendered from them, and the words that cause each frame."""

from .grammar import Caption, Phrase, Unit, parse, rephrase, sample_caption
from .render import DURATION, activity, render, tracks
from .sources import SAMPLE_RATE, SOURCES
from .truth import truth

__all__ = [
    "DURATION",
    "SAMPLE_RATE",
    "SOURCES",
    "Caption",
    "Phrase",
    "Unit",
    "activity",
    "parse",
    "render",
    "rephrase",
    "sample_caption",
    "tracks",
    "truth",
]
