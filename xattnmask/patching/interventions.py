"""What is done with an intercepted attention call. Each intervention maps a call to the call's result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ..errors import PatchError, SettingError
from ..sites import Site
from .call import AttentionCall, SdpaCall, SoftmaxCall, widen

Rule = Literal["scale", "bias", "suppress"]
RULES = ("scale", "bias")
"""Those under which a token at 0 is gone; ``suppress`` leaves it the lowest score."""
Intervention: TypeAlias = Callable[[AttentionCall], Tensor]
KeysValues: TypeAlias = tuple[Tensor, Tensor]

_TINY = torch.finfo(torch.float32).tiny
_MASKED = -5e3
"""Below this a score is a padding or causal mask (libraries use -1e4, finfo.min or -inf), not a real score."""


class MaskIntervention:
    """Masks the prompt's key columns in the conditional rows.

    Args:
        mask: [B, L], shared by all queries, or [B, T, L], one row per query position. B is 1 (for all conditional
            rows) or their number. Row t belongs to the absolute position ``site.queries.start + t`` (so a
            key-value cache needs ``site.offset``); positions beyond T, audio made longer than what was
            explained, take the last row. At a site with ``places`` the T rows divide the audio evenly. Kept as it is,
            in float32 at least, so gradients reach it.
        rule: ``scale`` multiplies the probabilities after the softmax, without renormalising
            (AudioGenX, arXiv 2502.00459, section 3); ``bias`` adds log M before it, so that a token at 0 is removed
            and the rest renormalise; a query left without any key gives 0; ``suppress`` moves a token's score before
            it towards the lowest score of its query, as AtMan does (arXiv 2301.08110; (S - min S) * M in their code),
            and leaves it there at 0. All are exact at M = 1.
        heads: the query heads to mask; all by default.

    Raises:
        SettingError: the mask has a wrong number of dimensions, or, when a call comes, its batch or tokens do not
            fit the call, or a head does not exist.
    """

    def __init__(self, mask: Tensor, rule: Rule = "scale", heads: Sequence[int] | None = None) -> None:
        if mask.ndim not in (2, 3) or mask.numel() == 0 or not mask.is_floating_point():
            raise SettingError(f"a mask is float [B, L] or [B, T, L], not {mask.dtype} {list(mask.shape)}")
        if rule not in (*RULES, "suppress"):
            raise SettingError(f"rule must be 'scale', 'bias' or 'suppress', not {rule!r}")
        self.mask = widen(mask)
        self.rule = rule
        self.heads = None if heads is None else [int(h) for h in heads]

    def __call__(self, call: AttentionCall) -> Tensor:
        first, last = call.query_span()
        self._check(call)
        if call.num_rows == 0 or first == last:
            return call.run()
        if isinstance(call, SoftmaxCall):
            return self._scale_probabilities(call) if self.rule == "scale" else self._change_scores(call)
        assert isinstance(call, SdpaCall)
        one_row = self.mask.ndim == 2 or self.mask.shape[1] == 1 or call.shape[2] == 1
        if self.rule == "scale" and one_row and (first, last) == (0, call.shape[2]):
            return self._scale_values(call)
        return conditional_rows(call, self._explicit)

    def _scale_values(self, call: SdpaCall) -> Tensor:
        """(P * M) V = P (M * V) when all queries share M: the fused kernel stays, and M = 1 is exact to the bit."""
        value = call.value if self.heads is None else call.per_head(call.value)
        key = call.key if self.heads is None else call.per_head(call.key)
        factor = self.factor(call).transpose(-2, -1)  # [n, 1 or H, K, 1]
        masked = (value[call.rows] * factor).to(value.dtype)
        value = with_rows(value, call.rows, masked)
        gqa = call.enable_gqa and self.heads is None
        return replace(call, key=key, value=value, enable_gqa=gqa).run()

    def _explicit(self, call: SdpaCall) -> Tensor:
        factor, logits = self.factor(call), call.logits()
        if self.rule == "scale":
            return call.attend(call.softmax(logits) * factor)
        changed, dead = self._changed(logits, factor)
        return call.attend(call.softmax(changed).masked_fill(dead, 0.0))

    def _scale_probabilities(self, call: SoftmaxCall) -> Tensor:
        probabilities = call.run()
        masked = (widen(probabilities[call.rows]) * self.factor(call)).to(probabilities.dtype)
        return with_rows(probabilities, call.rows, masked)

    def _change_scores(self, call: SoftmaxCall) -> Tensor:
        changed, dead = self._changed(call.scores[call.rows], self.factor(call))
        scores = with_rows(call.scores, call.rows, changed)
        probabilities = replace(call, scores=scores).run()
        return with_rows(probabilities, call.rows, probabilities[call.rows].masked_fill(dead, 0.0))

    def _changed(self, scores: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
        """Scores as the rule has them, and which queries have thereby lost all their keys."""
        return _add_log(scores, factor) if self.rule == "bias" else _towards_lowest(scores, factor)

    def _check(self, call: AttentionCall) -> None:
        """Refuse a mask that does not fit, even in a call that leaves nothing to mask."""
        if call.conditional and self.mask.shape[0] not in (1, call.conditional):
            raise SettingError(
                f"the mask is for {self.mask.shape[0]} rows and site {call.site.path} has {call.conditional} "
                "conditional rows: give 1 or as many"
            )
        heads = call.shape[1]
        if self.heads is not None and any(not 0 <= h < heads for h in self.heads):
            raise SettingError(f"heads must be 0..{heads - 1} at site {call.site.path}, not {self.heads}")

    def factor(self, call: AttentionCall) -> Tensor:
        """M as it multiplies the probabilities of the conditional rows: [n, 1 or H, 1 or Q, K], 1 where unmasked."""
        _, heads, queries, keys = call.shape
        mask = self.mask.to(call.device)
        if mask.shape[0] > 1:
            mask = mask[call.first : call.first + call.num_rows]
        mask = self._by_query(call, mask) if mask.ndim == 3 else mask[:, None]
        factor = _spread(_by_key(mask, call.site), call.columns(), keys, call.site)[:, None]
        first, last = call.query_span()
        if (first, last) != (0, queries):
            inside = torch.arange(queries, device=call.device)
            inside = (inside >= first) & (inside < last)
            factor = torch.where(inside[:, None], factor, factor.new_ones(()))
        if self.heads is not None:
            chosen = torch.zeros(heads, dtype=torch.bool, device=call.device)
            chosen[self.heads] = True
            factor = torch.where(chosen[:, None, None], factor, factor.new_ones(()))
        return factor

    def _by_query(self, call: AttentionCall, mask: Tensor) -> Tensor:
        """[n, T, L] to [n, Q, L], or to [n, 1, L] where T is 1."""
        queries, rows = call.shape[2], mask.shape[1]
        if rows == 1:
            return mask
        if call.site.places is None:
            return mask[:, self._mask_rows(call)]
        places = torch.as_tensor(call.site.places(queries), dtype=torch.float64, device=call.device)
        timeless = places.isnan()
        found = mask[:, (places.nan_to_num() * rows).long().clamp(0, rows - 1)]
        return torch.where(timeless[:, None], mask.amax(1, keepdim=True), found) if timeless.any() else found

    def _mask_rows(self, call: AttentionCall) -> Tensor | slice:
        """Which mask row belongs to each query of the call, by its position."""
        queries, rows = call.shape[2], self.mask.shape[1]
        start = call.offset - (call.site.queries.start or 0)
        if start >= 0 and start + queries <= rows:
            return slice(start, start + queries)
        return torch.arange(start, start + queries, device=call.device).clamp(0, rows - 1)


class OwnPositionOnly:
    """Each query attends its own position alone (context ``none``), in all rows.

    As if every position were a sequence of length 1 that keeps its position embedding.
    Raises PatchError where queries and keys are not the same positions.
    """

    def __call__(self, call: AttentionCall) -> Tensor:
        _, _, queries, keys = call.shape
        if queries != keys:
            raise PatchError(f"site {call.site.path} has {queries} queries and {keys} keys: run it without a cache")
        if isinstance(call, SdpaCall):
            return call.per_head(call.value)
        assert isinstance(call, SoftmaxCall)
        probabilities = call.run()
        return torch.eye(queries, dtype=probabilities.dtype, device=probabilities.device).expand_as(probabilities)


class RecordKeysValues:
    """Records keys and values of a clean pass by site path (detached); changes nothing.

    ``recorded`` maps a site's path to (key, value), each [B, H, T, d]; a later pass overwrites it.
    """

    def __init__(self) -> None:
        self.recorded: dict[str, KeysValues] = {}

    def __call__(self, call: AttentionCall) -> Tensor:
        call = _sdpa_only(call)
        self.recorded[call.site.path] = (call.key.detach(), call.value.detach())
        return call.run()


class FrozenHistory:
    """History as it was recorded (context ``frozen``): query t attends recorded keys and values before t, its own at t.

    Later positions are never attended. A record of one row serves any batch.
    Raises PatchError where a site was not recorded, or with another length.
    """

    def __init__(self, recorded: Mapping[str, KeysValues]) -> None:
        self.recorded = recorded

    def __call__(self, call: AttentionCall) -> Tensor:
        call = _sdpa_only(call)
        key, value = self._history(call)
        length = call.shape[3]
        later = torch.ones(length, length, dtype=torch.bool, device=call.query.device).triu(1)
        logits = replace(call, key=key).logits().masked_fill(later, float("-inf"))
        scale = call.query.shape[-1] ** -0.5 if call.scale is None else call.scale
        moved = (widen(call.query) * self._moved(call, call.key, key)).sum(-1) * scale
        own = logits.diagonal(dim1=-2, dim2=-1) + moved
        probabilities = call.softmax(torch.diagonal_scatter(logits, own, dim1=-2, dim2=-1))
        history = replace(call, value=value).attend(probabilities)
        own = probabilities.diagonal(dim1=-2, dim2=-1)[..., None]
        return history + (own * self._moved(call, call.value, value)).to(history.dtype)

    @staticmethod
    def _moved(call: SdpaCall, now: Tensor, then: Tensor) -> Tensor:
        """How far keys or values have moved since they were recorded; exactly 0 where they have not."""
        return widen(call.per_head(now)) - widen(call.per_head(then))

    def _history(self, call: SdpaCall) -> KeysValues:
        if call.site.path not in self.recorded:
            raise PatchError(f"site {call.site.path} was not recorded: record a clean pass with RecordKeysValues first")
        key, value = self.recorded[call.site.path]
        batch, _, queries, keys = call.shape
        if not queries == keys == key.shape[-2] or key.shape[0] not in (1, batch):
            raise PatchError(
                f"site {call.site.path} was recorded with {key.shape[0]} rows of {key.shape[-2]} positions and runs "
                f"with {batch} rows, {queries} queries and {keys} keys: replay the same generation without a cache"
            )
        return key.expand(batch, -1, -1, -1), value.expand(batch, -1, -1, -1)


def _by_key(mask: Tensor, site: Site) -> Tensor:
    """[..., L] to one column for each of the site's keys, where they are not the prompt's tokens one by one."""
    if site.standins is None:
        return mask
    index = torch.as_tensor(site.standins()[1], dtype=torch.long, device=mask.device)
    if len(index) and int(index.max()) >= mask.shape[-1]:
        raise SettingError(
            f"the mask has {mask.shape[-1]} tokens and the keys of site {site.path} stand for {int(index.max()) + 1}"
        )
    return mask[..., index]


def _spread(mask: Tensor, columns: slice | list[int], keys: int, site: Site) -> Tensor:
    """[..., L] to [..., keys], 1 in the columns that hold no prompt token."""
    wanted = range(keys)[columns] if isinstance(columns, slice) else columns
    if len(wanted) != mask.shape[-1]:
        raise SettingError(f"the mask has {mask.shape[-1]} tokens and site {site.path} has {len(wanted)} text keys")
    if wanted == range(keys):
        return mask
    index = torch.tensor([k % keys for k in wanted], device=mask.device)
    return mask.new_ones(*mask.shape[:-1], keys).index_copy(-1, index, mask)


def _add_log(scores: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """``scores`` + log ``factor`` in the dtype of ``scores``, and which queries have thereby lost all their keys.

    A key at 0 gets the lowest finite score: -inf would give NaN, in the gradient too, where no key is left.
    """
    floor = torch.finfo(scores.dtype).min
    kept = factor.detach() >= _TINY
    biased = (widen(scores) + factor.clamp(min=_TINY).log()).clamp(min=floor)
    biased = torch.where(scores.isneginf(), scores, biased.to(scores.dtype))
    alive = (kept & (scores.detach() > _MASKED)).any(-1, keepdim=True)
    dead = ~alive & ~kept.all(-1, keepdim=True)
    return torch.where(kept, biased, biased.new_full((), floor)), dead


def _towards_lowest(scores: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """``scores`` S as S - (1 - M)(S - min S), the minimum being over the keys that a query has; no query loses any."""
    wide = widen(scores)
    masked = scores.detach() <= _MASKED
    lowest = wide.masked_fill(masked, float("inf")).amin(-1, keepdim=True)
    moved = torch.where(masked, wide, wide - (1 - factor) * (wide - lowest).masked_fill(masked, 0.0))
    return moved.to(scores.dtype), torch.zeros_like(masked[..., :1])


def conditional_rows(call: SdpaCall, compute: Callable[[SdpaCall], Tensor]) -> Tensor:
    """Conditional rows by ``compute``; the others by the original kernel, bit for bit."""
    start, stop, batch = call.rows.start, call.rows.stop, call.shape[0]
    outputs = [call.part(0, start).run()] if start > 0 else []
    outputs.append(compute(call.part(start, stop)))
    if stop < batch:
        outputs.append(call.part(stop, batch).run())
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def with_rows(tensor: Tensor, rows: slice, new: Tensor) -> Tensor:
    """``tensor`` with ``new`` in ``rows``; the other rows are copied, never computed."""
    if new.shape[0] == tensor.shape[0]:
        return new
    return torch.cat([tensor[: rows.start], new, tensor[rows.stop :]])


def _sdpa_only(call: AttentionCall) -> SdpaCall:
    if isinstance(call, SdpaCall):
        return call
    raise PatchError(
        f"site {call.site.path} computes attention with an explicit softmax, where keys and values cannot be seen: "
        "load the model with sdpa attention (attn_implementation='sdpa')"
    )
