"""Where sources sound in time and frequency."""

import sys
from pathlib import Path

import numpy as np
from xattnmask_foley.world import DURATION, parse, render, tracks

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are no installed package
from benchmarks.plane import cells

TIMES = np.linspace(0, DURATION, 26)
HERTZ = np.array([0, 300, 600, 1200, 2500, 5000, 8000])
AFTER = parse("a low engine followed by a high bird")


def test_tracks_are_what_is_mixed():
    found = tracks(AFTER, 3)
    assert len(found) == 2 and np.allclose(sum(found), render(AFTER, 3), atol=1e-6)


def test_cells_belong_to_what_sounds_there():
    """An engine hums low and first, a bird sings high and then; what nobody sounds in is nobody's."""
    (engine, bird), audible = cells(AFTER, 3, TIMES, HERTZ)
    assert engine.any() and bird.any() and not (engine & bird).any() and ((engine | bird) == audible).all()
    times, bands = np.nonzero(engine)
    assert times.max() <= 13 and bands.mean() < np.nonzero(bird)[1].mean() - 1
    assert np.nonzero(bird)[0].min() >= 11 and not audible[:, -1].all()


def test_cells_finer_than_the_spectrum():
    truth, audible = cells(AFTER, 3, TIMES, np.linspace(300, 330, 9))  # narrower than a bin is
    assert truth.shape == (2, 25, 8) and audible.any()
