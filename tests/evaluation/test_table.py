"""The result as a table: columns, and the summary with paired tests."""

from __future__ import annotations

import numpy as np
import pytest

from xattnmask import Evaluation
from xattnmask.metrics import holm, mean_with_interval, paired_difference, paired_p_value

RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.random(12), RNG.random(12) * 0.2


def row(number, method, **scores):
    return {"number": number, "prompt": "a", "method": method, "error": None, "seconds": 1.0, "words": [], **scores}


@pytest.fixture
def table():
    pairs = zip(FIRST, SECOND, strict=True)
    return Evaluation([row(i + 1, name, fid_cf=float(value), kl_f=None if i == 3 and name == "b" else float(value) ** 2)
                       for i, pair in enumerate(pairs) for name, value in zip("ab", pair, strict=True)], ["a", "b"])


def test_the_summary_is_that_of_statistics(table):
    found = {(s.method, s.score): s for s in table.summary}
    assert set(found) == {(m, s) for m in "ab" for s in ("fid_cf", "kl_f", "seconds")}
    second = found["b", "fid_cf"]
    assert (second.mean, second.low, second.high) == mean_with_interval(SECOND)
    assert (second.difference, second.difference_low, second.difference_high) == paired_difference(SECOND, FIRST)
    p = [paired_p_value(SECOND, FIRST), paired_p_value(*(np.delete(v, 3) ** 2 for v in (SECOND, FIRST)))]
    assert [found["b", "fid_cf"].p, found["b", "kl_f"].p] == p
    assert sorted([found["b", "fid_cf"].p_holm, found["b", "kl_f"].p_holm]) == sorted(holm(p))
    assert found["b", "kl_f"].prompts == 11
    assert found["a", "fid_cf"].p is None is found["b", "seconds"].p


def test_what_differs_is_starred(table):
    lines = table.to_markdown().splitlines()
    assert lines[0] == "| method | Fid_CF | KL_F | seconds |".replace("Fid_CF | KL_F", "KL_F | Fid_CF")
    assert "*" not in lines[2] and lines[3].count("*") == 2
    assert str(table).startswith("12 prompts, 2 methods\n")


def test_columns(table):
    assert table.columns == ("number", "prompt", "method", "error", "seconds", "fid_cf", "kl_f")
    assert np.isnan(table["kl_f"][7]) and table["method"][:2].tolist() == ["a", "b"]
    with pytest.raises(KeyError, match="no column 'fid'"):
        table["fid"]
    assert table.to_dataframe().shape == (24, 7)
