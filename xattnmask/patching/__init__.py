"""Patching a backbone: what its attention on the text does while a context is open.

Everything is undone on leaving, whatever happened; a patch that would do nothing raises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..adapter import Adapter
from ..errors import SettingError
from ..sites import Role, Site
from .call import AttentionCall, SdpaCall, SoftmaxCall
from .contexts import frozen_history, no_history, record_history
from .intercept import PatchRecord, intercept
from .interventions import (
    RULES,
    CaptureProbabilities,
    FrozenHistory,
    Intervention,
    MaskIntervention,
    OwnPositionOnly,
    RecordKeysValues,
    Rule,
)
from .mode import Rows
from .select import Layers, select_sites

__all__ = [
    "RULES",
    "AttentionCall",
    "CaptureProbabilities",
    "FrozenHistory",
    "Intervention",
    "Layers",
    "MaskIntervention",
    "OwnPositionOnly",
    "PatchRecord",
    "RecordKeysValues",
    "Rule",
    "SdpaCall",
    "SoftmaxCall",
    "capture_attention",
    "frozen_history",
    "intercept",
    "no_history",
    "patch",
    "record_history",
    "select_sites",
]


def patch(
    model: Adapter, mask: Tensor | np.ndarray[Any, Any], *, rule: Rule = "scale", layers: Layers = "all",
    heads: Sequence[int] | None = None, roles: Sequence[Role] = ("cross",), streams: Sequence[str] | None = None,
    rows: Rows | None = None, strict: bool = True,
) -> AbstractContextManager[PatchRecord]:  # fmt: skip
    """Mask the prompt's tokens in the attention of ``model`` while the context is open.

    Args:
        model: the adapter of a loaded backbone.
        mask: float in [0, 1], [B, L] (the same for all queries) or [B, T, L] (one row per sequence position); B is 1 or
            the number of conditional rows. Tensors keep their graph: gradients reach them.
        rule: ``scale`` or ``bias``, see :class:`MaskIntervention`.
        layers: ``first``, ``middle`` or ``last`` third, ``all``, or indices. Text encoders are masked in all layers.
        heads: query heads to mask; all by default.
        roles: which sites; a prefix model (no ``cross`` sites) stands in with its ``prefix`` sites. ``text-encoder``
            sites always use ``bias`` in all layers and heads (``scale`` leaks there: a word at 0 still reaches the
            others through its own residual path), and of a [B, T, L] mask the maximum over T: the text is encoded
            once for all positions, so a word that is needed anywhere has to stay in.
        streams: names of text streams; all by default.
        rows: from the size of a batch to its conditional rows; the adapter's ``conditional_rows`` by default.
        strict: raise on leaving if a chosen site never ran.

    Raises:
        SettingError: the mask is not finite, not in [0, 1], not float, of a wrong shape; or a wrong layer, head,
            role or stream.
        SiteNotFoundError, SiteNotSeenError, SiteCallCountError, PatchError: see :func:`intercept`.
    """
    tensor = _as_mask(mask)
    if "self" in roles:
        raise SettingError("role 'self' has no text keys to mask; choose among cross, prefix and text-encoder")
    sites = model.sites(tensor.shape[-1])
    masked = shared = MaskIntervention(tensor, rule, heads)
    if "text-encoder" in roles:
        shared = MaskIntervention(tensor if tensor.ndim == 2 else tensor.amax(1), "bias")
    pairs: list[tuple[Site, Intervention]] = [
        (site, shared if site.role == "text-encoder" else masked) for site in _choose(sites, layers, roles, streams)
    ]
    return intercept(model.backbone, pairs, rows or model.conditional_rows, strict=strict)


@contextmanager
def capture_attention(
    model: Adapter, callback: Callable[[Site, Tensor], None], *, num_tokens: int, layers: Layers = "all",
    roles: Sequence[Role] = ("cross",), streams: Sequence[str] | None = None, rows: Rows | None = None,
    strict: bool = True,
) -> Iterator[PatchRecord]:  # fmt: skip
    """Hand the attention on the prompt's tokens to ``callback`` while the context is open; changes nothing.

    Args:
        callback: called with each site and its probabilities, see :class:`CaptureProbabilities`. Nothing is kept here.
        num_tokens: the prompt's number of tokens, special ones included.
        layers, roles, streams, rows, strict: as in :func:`patch`.

    Raises: as :func:`patch`.
    """
    sites = _choose(model.sites(num_tokens), layers, roles, streams)
    capture = CaptureProbabilities(callback)
    pairs = [(site, capture) for site in sites]
    with intercept(model.backbone, pairs, rows or model.conditional_rows, strict=strict) as record:
        yield record


def _choose(sites: Sequence[Site], layers: Layers, roles: Sequence[Role], streams: Sequence[str] | None) -> list[Site]:
    """The chosen sites; text encoders in all layers, since a word leaks through any layer left out."""
    found = {site.role for site in sites}
    if tuple(roles) == ("cross",) and "cross" not in found and "prefix" in found:
        roles = ("prefix",)
    chosen = []
    for role in roles:
        chosen += select_sites(sites, "all" if role == "text-encoder" else layers, roles=(role,), streams=streams)
    return chosen


def _as_mask(mask: Tensor | np.ndarray[Any, Any]) -> Tensor:
    if isinstance(mask, np.ndarray):
        mask = torch.tensor(mask)  # a copy: the array may be read-only
    if not isinstance(mask, Tensor) or not mask.is_floating_point():
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise SettingError(f"a mask is a float torch tensor or numpy array, not {kind}")
    if mask.ndim not in (2, 3) or mask.numel() == 0:
        raise SettingError(f"a mask is [B, L] or [B, T, L], not {list(mask.shape)}: add a batch dimension of 1")
    low, high = (float(value) for value in torch.aminmax(mask.detach()))
    if not (math.isfinite(low) and math.isfinite(high)):  # NaN anywhere is NaN in both
        raise SettingError("the mask holds NaN or infinity")
    if low < 0 or high > 1:
        raise SettingError(f"a mask lies in [0, 1]; this one spans {low:g} to {high:g}")
    return mask
