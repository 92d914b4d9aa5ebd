"""The foley world as a plugin: its held-out captions, what they sound like and which words cause what."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xattnmask import Case, SettingError, World, hookimpl

from .training.corpus import TEST, VALIDATION, captions
from .world import DURATION, SAMPLE_RATE, Caption, render, truth

SPLITS = {"test": TEST, "validation": VALIDATION}


class FoleyWorld(World):
    """Captions that no foley model was trained on, without made-up words."""

    def cases(self, count: int, *, split: str = "test", start: int = 0) -> Iterator[Case]:
        """``count`` held-out captions of the split ``test``, or of ``validation`` (to choose settings by)."""
        if split not in SPLITS:
            raise SettingError(f"the foley world has the splits {' and '.join(SPLITS)}, not {split!r}")
        for caption, seed in captions(SPLITS[split], count, babble=0.0, start=start):
            columns = {"arrangement": caption.arrangement or "single"}
            yield Case(caption.text, seed, columns, _units(caption), caption)

    def sound(self, case: Case) -> tuple[np.ndarray, int]:
        """The caption, rendered."""
        return render(case.source, case.seed), SAMPLE_RATE

    def truth(self, case: Case, times: np.ndarray) -> np.ndarray:
        """Bool [frames, units], by swapping words (docs/foley.md); the frames must be equal parts of the clip."""
        edges = np.linspace(0, DURATION, len(times))
        if not np.allclose(times, edges, rtol=0, atol=0.5 * DURATION / (len(times) - 1)):
            raise SettingError(f"the foley world's truth is of equal parts of {DURATION:g} s: leave the duration out")
        causes = truth(case.source, case.seed, len(times) - 1)
        return np.stack([causes[:, unit[0]] for unit in _units(case.source)], 1)


def _units(caption: Caption) -> tuple[tuple[int, ...], ...]:
    """The words of each unit, by index."""
    units = caption.unit_of_word()
    return tuple(tuple(np.flatnonzero(np.array(units) == unit).tolist()) for unit in range(len(caption.units)))


@hookimpl
def xattnmask_world() -> World:
    """The foley world."""
    return FoleyWorld()
