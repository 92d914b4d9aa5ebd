"""How means are written."""

import pytest

from xattnmask.metrics import Interval
from xattnmask.studies.base import shown

NAN = float("nan")


@pytest.mark.parametrize(("interval", "text"), [
    (Interval(0.5971, 0.585, 0.61), "0.597 [0.585, 0.610]"),
    (Interval(0.005, -0.171, 0.173), "0.005 [-0.171, 0.173]"),
    (Interval(0.00234, 0.0019, 0.0028), "0.00234 [0.00190, 0.00280]"),
    (Interval(0.0, 0.0, 0.0), "0.000 [0.000, 0.000]"),
    (Interval(12.5, 1.0, NAN), "12.500 [1.000, nan]"),
    (Interval(NAN, NAN, NAN), "nan [nan, nan]"),
])
def test_a_mean_with_its_interval(interval, text):
    assert shown(interval) == text
