"""What a site is: one attention module in which text keys are attended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["cross", "self", "text-encoder", "prefix", "summary"]
"""``cross``: queries are audio, keys are text. ``self``: the audio decoder's own self-attention (needed
for the contexts ``none`` and ``frozen``). ``text-encoder``: self-attention among the text tokens.
``prefix``: self-attention over a sequence that starts with the text. ``summary``: queries are audio, keys are
made of the whole text and stand for no single word; never masked, but known (needed for text that is encoded apart)."""

Offset = Callable[[Mapping[str, Any]], int]
"""From the keyword arguments of the module's forward (positional ones bound to their names) to the
position of its first query in the whole sequence; what a key-value cache makes necessary."""

Places = Callable[[int], Sequence[float]]
"""From the number of queries of a call to the place of each in the audio: 0 where it begins, 1 where it ends, NaN for
a query that stands for no time (a global token)."""

Plane = Callable[[int], tuple[int, int]]
"""From the number of queries of a call to their rows and columns on the plane of time and frequency: queries run along
the frequencies of a moment, from low to high, then on to the next moment."""

Standins = Callable[[], tuple[Sequence[int], Sequence[int]]]
"""Key columns, and the token of the prompt that each of them stands for; asked at every call."""


@dataclass(frozen=True)
class Site:
    """One attention module of a backbone, described so that the core can patch it.

    Attributes:
        path: module path inside the backbone, as ``torch.nn.Module.get_submodule`` takes it.
        layer: index of the layer, counted within the role and stream.
        role: see :data:`Role`.
        stream: name of the text stream the keys come from (a backbone may have several).
        keys: which key columns hold the prompt's tokens, in order; None for all columns.
        queries: which queries are masked; all by default (a prefix model masks the audio part only).
        calls: attention calls one forward of the module makes.
        offset: position of the first query under a key-value cache; None where there is no cache.
        places: where in the audio each query stands; None where queries are the positions of a sequence. With it, the
            T rows of a mask [B, T, L] divide the audio evenly; a query without a time takes the largest of them.
        plane: how the queries lie in time and frequency, where they are points of a spectrogram; None elsewhere.
        standins: where the keys are not the prompt's tokens one by one (a second text encoder may cut the prompt in
            other places): which columns stand for which token, in place of ``keys``.
    """

    path: str
    layer: int
    role: Role = "cross"
    stream: str = "text"
    keys: slice | Sequence[int] | None = None
    queries: slice = field(default_factory=lambda: slice(None))
    calls: int = 1
    offset: Offset | None = field(default=None, compare=False)
    places: Places | None = field(default=None, compare=False)
    plane: Plane | None = field(default=None, compare=False)
    standins: Standins | None = field(default=None, compare=False)

    def __hash__(self) -> int:  # slices have no hash before Python 3.12
        return hash((self.path, self.role, self.stream))
