"""Masks by time where queries are spread over the audio; by key where keys are another tokenizer's; by step."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention, softmax

from xattnmask import SettingError, Site
from xattnmask.patching import intercept, reading_sites
from xattnmask.patching.interventions import MaskIntervention
from xattnmask.patching.steps import ByStep

B, H, Q, K, D = 2, 3, 7, 4, 5


class Attention(torch.nn.Module):
    def forward(self, query, key, value):
        return scaled_dot_product_attention(query, key, value)


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(B, H, n, D, generator=generator) for n in (Q, K, K))


def run(site, intervention, tensors):
    backbone = torch.nn.ModuleDict({"a": Attention()})
    with intercept(backbone, [(site, intervention)], lambda batch: slice(0, batch)):
        return backbone["a"](*tensors)


def expected(tensors, factor):
    query, key, value = tensors
    return (softmax(query @ key.transpose(-2, -1) / D**0.5, -1) * factor) @ value


def test_rows_of_a_mask_divide_the_audio_and_timeless_queries_take_the_largest(tensors):
    places = [math.nan, 0.1, 0.3, 0.35, 0.7, 0.99, math.nan]
    mask = torch.rand(B, 3, K)
    rows = torch.stack([mask.amax(1), *(mask[:, k] for k in (0, 0, 1, 2, 2)), mask.amax(1)], 1)
    found = run(Site("a", 0, places=lambda queries: places), MaskIntervention(mask), tensors)
    torch.testing.assert_close(found, expected(tensors, rows[:, None]))


@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_keys_that_stand_for_other_tokens(tensors, rule):
    mask = torch.rand(B, 2)
    site = Site("a", 0, standins=lambda: ([1, 2, 3], [1, 0, 1]))
    plain = torch.ones(B, K)
    plain[:, 1:] = mask[:, [1, 0, 1]]
    assert torch.equal(run(site, MaskIntervention(mask, rule), tensors),
                       run(Site("a", 0), MaskIntervention(plain, rule), tensors))


def test_a_mask_with_too_few_tokens_for_what_keys_stand_for(tensors):
    with pytest.raises(SettingError, match="the mask has 2 tokens and the keys of site a stand for 3"):
        run(Site("a", 0, standins=lambda: ([0], [2])), MaskIntervention(torch.ones(1, 2)), tensors)


def test_the_intervention_in_force_acts(tensors):
    seen, order = [], iter((0, 1, 1, 0))
    by_step = ByStep([lambda call: seen.append("early") or call.run(), lambda call: seen.append("late") or
                      call.run()], lambda: next(order))
    for _ in range(4):
        run(Site("a", 0), by_step, tensors)
    assert seen == ["early", "late", "late", "early"]


def test_where_words_reach_the_audio():
    sites = [
        Site("c0", 0, "cross", "t5"), Site("c1", 1, "cross", "t5"), Site("s", 0, "self", "audio"),
        Site("t", 0, "text-encoder", "t5"), Site("g0", 0, "text-encoder", "gpt2"),
        Site("g1", 1, "text-encoder", "gpt2"),
    ]  # fmt: skip
    assert [s.path for s in reading_sites(sites)] == ["c0", "c1", "g0", "g1"]
    assert [s.path for s in reading_sites(sites, "last")] == ["c1", "g0", "g1"]
    assert [s.path for s in reading_sites(sites, streams=["gpt2"])] == ["g0", "g1"]
    with pytest.raises(SettingError, match="t6"):
        reading_sites(sites, streams=["t6"])
