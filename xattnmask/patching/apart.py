"""Text that is encoded apart for stretches of the audio: each query reads the text of its own stretch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ..errors import PatchError
from .call import AttentionCall, SdpaCall, SoftmaxCall
from .interventions import MaskIntervention, Rule


def stretch_of_row(rows: int, stretches: int) -> Tensor:
    """Which of ``stretches`` of equal length each of ``rows`` of a mask lies in, by its middle, int64 [rows]."""
    return ((torch.arange(rows) + 0.5) / rows * stretches).long()


def masks_by_stretch(mask: Tensor, stretches: int) -> Tensor:
    """The largest of a mask's rows [B, T, L] in each stretch and, last, in all of them: [B, stretches + 1, L].

    A text that is encoded for a stretch must hold whatever is needed anywhere in it; the last is for queries that
    stand for no time.
    """
    member = stretch_of_row(mask.shape[1], stretches).to(mask.device)
    found = [mask[:, member == stretch].amax(1) for stretch in range(stretches)]
    return torch.stack([*found, mask.amax(1)], dim=1)


class EncodedApart:
    """Masks the rows of a text encoder, of which each row of the denoiser has ``stretches + 1``, one after the other.

    Args:
        mask: [B, T, L] as in :class:`MaskIntervention`.
        rule: ``bias`` or ``suppress``.
        stretches: how many, at most T.
    """

    def __init__(self, mask: Tensor, rule: Rule, stretches: int) -> None:
        self.mask, self.rule = masks_by_stretch(mask, stretches).flatten(0, 1), rule

    def __call__(self, call: AttentionCall) -> Tensor:
        copies = max(call.conditional // len(self.mask), 1)  # of one mask for all rows
        return MaskIntervention(self.mask.repeat(copies, 1), self.rule)(call)


class OwnText:
    """Lets the queries of each stretch read its own part of the keys, which hold ``stretches + 1`` texts side by side.

    Queries that stand for no time read the last.

    Args:
        masked: how those parts are masked, by a mask [B, T, L]; None to leave them as they are.
        rows: T.
        stretches: how many, at most T.
    """

    def __init__(self, masked: MaskIntervention | None, rows: int, stretches: int) -> None:
        self.masked, self.rows, self.stretches = masked, rows, stretches

    def __call__(self, call: AttentionCall) -> Tensor:
        texts, keys = self.stretches + 1, call.shape[3]
        if keys % texts:
            raise PatchError(f"site {call.site.path} has {keys} keys, which are not {texts} texts side by side")
        row, text = self._places(call)
        found = [(text == number).nonzero()[:, 0] for number in range(texts)]
        parts = [self._part(call, number, queries, row) for number, queries in enumerate(found) if len(queries)]
        return torch.cat(parts, dim=2)[:, :, torch.argsort(torch.cat(found))]

    def _places(self, call: AttentionCall) -> tuple[Tensor, Tensor]:
        """Of each query the row of the mask, -1 where it has no time, and the text."""
        if call.site.places is None:
            raise PatchError(f"site {call.site.path} does not say where its queries lie: its text cannot be told apart")
        places = torch.as_tensor(call.site.places(call.shape[2]), dtype=torch.float64)
        row = (places.nan_to_num() * self.rows).long().clamp(0, self.rows - 1)
        text = stretch_of_row(self.rows, self.stretches)[row]
        timeless = places.isnan()
        return row.masked_fill(timeless, -1), text.masked_fill(timeless, self.stretches)

    def _part(self, call: AttentionCall, text: int, queries: Tensor, row: Tensor) -> Tensor:
        """What the ``queries`` that read one text get: their outputs, or their probabilities of all keys."""
        count = call.shape[3] // (self.stretches + 1)
        keys = slice(text * count, (text + 1) * count)
        share = Fraction(len(queries), call.shape[2])
        queries, window = queries.to(call.device), replace(call.window, share=call.window.share * share)
        shared: dict[str, Any] = {"site": replace(call.site, places=None), "window": window}
        if isinstance(call, SdpaCall):
            return self._masked(_sdpa_part(call, queries, keys, shared), row[queries.cpu()])
        assert isinstance(call, SoftmaxCall)
        part = replace(call, scores=call.scores[:, :, queries][..., keys], **shared)
        found = self._masked(part, row[queries.cpu()])
        whole = found.new_zeros(*found.shape[:3], call.shape[3])
        whole[..., keys] = found
        return whole

    def _masked(self, call: AttentionCall, rows: Tensor) -> Tensor:
        if self.masked is None:
            return call.run()
        mask = self.masked.mask
        if rows[0] < 0:
            chosen = mask.amax(1, keepdim=True)
        else:  # one row, where it is the same for all, lets the fused kernel stay
            chosen = mask[:, rows[:1] if bool((rows == rows[0]).all()) else rows]
        return MaskIntervention(chosen, self.masked.rule, self.masked.heads)(call)


def _sdpa_part(call: SdpaCall, queries: Tensor, keys: slice, shared: Mapping[str, Any]) -> SdpaCall:
    if call.is_causal:
        raise PatchError(f"site {call.site.path} is causal: its keys cannot be several texts side by side")
    mask = call.attn_mask
    if mask is not None:
        mask = mask[..., keys] if mask.shape[-1] > 1 else mask
        mask = mask[..., queries, :] if mask.shape[-2] > 1 else mask
    return replace(
        call, query=call.query[:, :, queries], key=call.key[:, :, keys], value=call.value[:, :, keys], attn_mask=mask,
        **shared,
    )  # fmt: skip
