"""Patching a backbone: what its attention on the text does while a context is open.

Everything is undone on leaving, whatever happened; a patch that would do nothing raises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

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
from .select import Layers, masked_sites, reading_sites, select_sites
from .steps import ByStep

if TYPE_CHECKING:
    from ..diffusion import DiffusionAdapter

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
    "patch_steps",
    "reading_sites",
    "record_history",
    "select_sites",
]


def patch(
    model: Adapter, mask: Tensor | np.ndarray[Any, Any], *, rule: Rule = "scale", layers: Layers = "all",
    heads: Sequence[int] | None = None, roles: Sequence[Role] | None = None, streams: Sequence[str] | None = None,
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
        roles: which sites; by default those where words reach the audio: of each stream the ``cross`` or ``prefix``
            sites, or the text encoder where audio never reads its tokens one by one. ``text-encoder`` sites always use
            ``bias`` in all layers and heads (``scale`` leaks there: a word at 0 still reaches the others through its
            own residual path), and of a [B, T, L] mask the maximum over T: the text is encoded once for all positions,
            so a word that is needed anywhere has to stay in.
        streams: names of text streams; all by default.
        rows: from the size of a batch to its conditional rows; the adapter's ``conditional_rows`` by default.
        strict: raise on leaving if a chosen site never ran.

    Raises:
        SettingError: the mask is not finite, not in [0, 1], not float, of a wrong shape; or a wrong layer, head,
            role or stream.
        SiteNotFoundError, SiteNotSeenError, SiteCallCountError, PatchError: see :func:`intercept`.
    """
    tensor = _as_mask(mask)
    masked, encoded = _interventions(tensor, rule, heads)
    return _patched(model, masked, encoded, tensor.shape[-1], layers, roles, streams, rows, strict)


@contextmanager
def patch_steps(
    model: DiffusionAdapter, masks: Tensor | np.ndarray[Any, Any], steps: Sequence[int], *, rule: Rule = "scale",
    layers: Layers = "all", heads: Sequence[int] | None = None, roles: Sequence[Role] | None = None,
    streams: Sequence[str] | None = None, rows: Rows | None = None, strict: bool = True,
) -> Iterator[PatchRecord]:  # fmt: skip
    """While open, a diffusion model generates under a mask of its own at each denoising step.

    Args:
        model: the adapter of a diffusion model.
        masks: float in [0, 1], [S, L] (the same for all queries) or [S, T, L] (T stretches of audio of equal length).
        steps: which denoising step each of the S masks is for, counted from 0; a step between them takes the mask of
            the nearest one.
        rule, layers, heads, roles, streams, rows, strict: as in :func:`patch`.

    Raises: as :func:`patch`.
    """
    tensor = _as_mask(masks)
    if len(tensor) != len(steps):
        raise SettingError(f"{len(tensor)} masks for {len(steps)} steps: give one each")
    pairs = [_interventions(mask[None], rule, heads) for mask in tensor]
    masked, encoded = (ByStep(steps, part, lambda: model.step) for part in zip(*pairs, strict=True))
    patched = _patched(model, masked, encoded, tensor.shape[-1], layers, roles, streams, rows, strict)
    with model.encoding_by_step(), patched as record:
        yield record


@contextmanager
def capture_attention(
    model: Adapter, callback: Callable[[Site, Tensor], None], *, num_tokens: int, layers: Layers = "all",
    roles: Sequence[Role] | None = None, streams: Sequence[str] | None = None, rows: Rows | None = None,
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


def _interventions(
    mask: Tensor, rule: Rule, heads: Sequence[int] | None
) -> tuple[MaskIntervention, MaskIntervention]:
    """What masks the sites where audio reads, and what masks text encoders."""
    return MaskIntervention(mask, rule, heads), MaskIntervention(mask if mask.ndim == 2 else mask.amax(1), "bias")


def _patched(
    model: Adapter, masked: Intervention, encoded: Intervention, num_tokens: int, layers: Layers,
    roles: Sequence[Role] | None, streams: Sequence[str] | None, rows: Rows | None, strict: bool,
) -> AbstractContextManager[PatchRecord]:  # fmt: skip
    if roles is not None and "self" in roles:
        raise SettingError("role 'self' has no text keys to mask; choose among cross, prefix and text-encoder")
    pairs: list[tuple[Site, Intervention]] = [
        (site, encoded if site.role == "text-encoder" else masked)
        for site in _choose(model.sites(num_tokens), layers, roles, streams)
    ]
    return intercept(model.backbone, pairs, rows or model.conditional_rows, strict=strict)


def _choose(
    sites: Sequence[Site], layers: Layers, roles: Sequence[Role] | None, streams: Sequence[str] | None
) -> list[Site]:
    if roles is None:
        return reading_sites(sites, layers, streams=streams)
    for role in roles:
        select_sites(sites, roles=(role,))  # a role that the model does not have is an error
    return masked_sites(sites, layers, roles=roles, streams=streams)


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
