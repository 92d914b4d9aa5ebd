"""More than one row: batches, and several samples for one prompt."""

from __future__ import annotations

import pytest
import torch

import xattnmask as xm
from xattnmask import SettingError


def test_each_row_of_a_batch_has_its_own_mask(toy_model, sound, replay):
    masks = torch.rand(3, len(sound.tokens))
    with xm.patch(toy_model, masks):
        together = replay(batch=3)
    for row, mask in zip(together, masks, strict=True):
        with xm.patch(toy_model, mask[None]):
            assert torch.allclose(row, replay()[0], atol=1e-6)


def test_a_mask_for_another_number_of_rows_is_refused(toy_model, sound, replay):
    with pytest.raises(SettingError, match="the mask is for 2 rows"), xm.patch(
        toy_model, torch.ones(2, len(sound.tokens))):
        replay(batch=3)


def test_several_samples_for_one_prompt_share_the_mask_of_the_prompt(toy_model, sound, zeros):
    """Conditional rows are asked for by the size of the batch: [conditional x n, null x n]."""
    noise, text = sound.replay["noise"].repeat(6, 1, 1), toy_model.text(sound.tokens)
    rows = torch.cat([text.repeat(3, 1, 1), torch.zeros_like(text).repeat(3, 1, 1)])
    with torch.no_grad():
        clean = toy_model.backbone(noise, rows)
        with toy_model.guiding(3.0), xm.patch(toy_model, zeros):
            masked = toy_model.backbone(noise, rows)
    assert torch.allclose(masked[3:], clean[3:], atol=1e-6)
    assert all(torch.allclose(row, masked[0], atol=1e-6) for row in masked[:3])
    assert not torch.allclose(masked[0], clean[0], atol=1e-3)
