"""Attention brought onto the plane of time and frequency."""

from __future__ import annotations

import numpy as np
import torch

from xattnmask import Site
from xattnmask.replaying import PlaneSum


def cubic(distance):
    """The kernel of Keys (1981) with a = -0.75, which torch has."""
    d = abs(distance)
    if d <= 1:
        return 1.25 * d**3 - 2.25 * d**2 + 1
    return -0.75 * d**3 + 3.75 * d**2 - 6 * d + 3 if d < 2 else 0.0


def stretched(line, size):
    """A line resampled to ``size`` by cubic convolution, its ends repeated."""
    found = []
    for k in range(size):
        place = (k + 0.5) * len(line) / size - 0.5
        near = [int(np.floor(place)) + shift for shift in (-1, 0, 1, 2)]
        found.append(sum(cubic(place - i) * line[min(max(i, 0), len(line) - 1)] for i in near))
    return np.array(found)


def test_sites_of_several_sizes_are_brought_together():
    """The mean over rows, heads and sites, in float64 by hand."""
    generator, plane, expected = torch.Generator().manual_seed(0), PlaneSum(12, 6), 0.0
    for time, frequency, rows in ((12, 6, 2), (6, 3, 2), (3, 2, 1)):
        site = Site("a", 0, plane=lambda queries, shape=(time, frequency): shape)
        probabilities = torch.rand(rows, 4, time * frequency, 5, generator=generator)
        plane(site, probabilities)
        maps = probabilities.double().sum((0, 1)).T.reshape(5, time, frequency).numpy()
        tall = np.apply_along_axis(stretched, 1, maps, 12)
        expected = expected + np.apply_along_axis(stretched, 2, tall, 6).clip(0)
    np.testing.assert_allclose(plane.mean().numpy(), expected / (4 * (2 + 2 + 1)), atol=1e-5)


def test_a_bright_cell_stays_where_it_is():
    plane, probabilities = PlaneSum(8, 4), torch.zeros(1, 1, 8, 2)
    probabilities[0, 0, 2 * 2 + 1, 1] = 1.0  # of 4 x 2: the third moment, the upper band, the second token
    plane(Site("a", 0, plane=lambda queries: (4, 2)), probabilities)
    found = plane.mean()
    assert found.shape == (2, 8, 4) and not found[0].any()
    time, frequency = divmod(int(found[1].argmax()), 4)
    assert time in (4, 5) and frequency in (2, 3) and float(found.min()) >= 0


def test_sites_without_a_plane_are_left_out():
    found = PlaneSum(8, 4)
    found(Site("a", 0), torch.rand(1, 1, 8, 2))
    assert found.mean() is None
