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
from ..edits import MAX_WEIGHT
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
    "reweigh",
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
    tensor = _as_factors(mask, "mask", 1)
    pairs = _masked_sites(model, tensor, rule, layers, heads, roles, streams)
    return intercept(model.backbone, pairs, rows or model.conditional_rows, strict=strict)


def reweigh(
    model: Adapter, weights: Tensor | np.ndarray[Any, Any], *, rule: Rule = "bias", layers: Layers = "all",
    heads: Sequence[int] | None = None, roles: Sequence[Role] = ("cross",), streams: Sequence[str] | None = None,
    rows: Rows | None = None, strict: bool = True,
) -> AbstractContextManager[PatchRecord]:  # fmt: skip
    """Weaken or strengthen the prompt's tokens in the attention of ``model`` while the context is open.

    As :func:`patch`, but ``weights`` lie in [0, MAX_WEIGHT] (4): below 1 a token is weakened, at 0 it is gone, above 1
    it is strengthened. A text encoder takes no weight above 1: a token that is read more there blurs the others.

    Raises:
        SettingError: the weights are not finite, not in [0, MAX_WEIGHT], not float, of a wrong shape; else as patch.
        SiteNotFoundError, SiteNotSeenError, SiteCallCountError, PatchError: see :func:`intercept`.
    """
    tensor = _as_factors(weights, "weight", MAX_WEIGHT)
    pairs = _masked_sites(model, tensor, rule, layers, heads, roles, streams)
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


def _masked_sites(
    model: Adapter, tensor: Tensor, rule: Rule, layers: Layers, heads: Sequence[int] | None, roles: Sequence[Role],
    streams: Sequence[str] | None,
) -> list[tuple[Site, Intervention]]:  # fmt: skip
    """Each chosen site with what is done there; text encoders by ``bias``, once for all positions, at most at 1."""
    if "self" in roles:
        raise SettingError("role 'self' has no text keys to mask; choose among cross, prefix and text-encoder")
    masked = shared = MaskIntervention(tensor, rule, heads)
    if "text-encoder" in roles:
        shared = MaskIntervention((tensor if tensor.ndim == 2 else tensor.amax(1)).clamp(max=1), "bias")
    chosen = _choose(model.sites(tensor.shape[-1]), layers, roles, streams)
    return [(site, shared if site.role == "text-encoder" else masked) for site in chosen]


def _as_factors(value: Tensor | np.ndarray[Any, Any], name: str, most: float) -> Tensor:
    """``value`` as a tensor of factors in [0, ``most``], [B, L] or [B, T, L]; ``name`` names it in errors."""
    if isinstance(value, np.ndarray):
        value = torch.tensor(value)  # a copy: the array may be read-only
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise SettingError(f"a {name} is a float torch tensor or numpy array, not {kind}")
    if value.ndim not in (2, 3) or value.numel() == 0:
        raise SettingError(f"a {name} is [B, L] or [B, T, L], not {list(value.shape)}: add a batch dimension of 1")
    low, high = (float(bound) for bound in torch.aminmax(value.detach()))
    if not (math.isfinite(low) and math.isfinite(high)):  # NaN anywhere is NaN in both
        raise SettingError(f"the {name} holds NaN or infinity")
    if low < 0 or high > most:
        raise SettingError(f"a {name} lies in [0, {most:g}]; this one spans {low:g} to {high:g}")
    return value
