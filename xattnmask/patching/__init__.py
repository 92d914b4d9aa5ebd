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
from ..edits import MAX_WEIGHT
from ..errors import SettingError
from ..sites import Role, Site
from .call import AttentionCall, SdpaCall, SoftmaxCall
from .contexts import frozen_history, no_history, record_history
from .intercept import PatchRecord, intercept
from .interventions import (
    RULES,
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
from .watching import CaptureProbabilities, Traced, TraceProbabilities

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
    "TraceProbabilities",
    "Traced",
    "capture_attention",
    "frozen_history",
    "intercept",
    "no_history",
    "patch",
    "patch_steps",
    "reading_sites",
    "record_history",
    "reweigh",
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
        rule: ``scale``, ``bias`` or ``suppress``, see :class:`MaskIntervention`.
        layers: ``first``, ``middle`` or ``last`` third, ``all``, or indices. Text encoders are masked in all layers.
        heads: query heads to mask; all by default.
        roles: which sites; by default those where words reach the audio: of each stream the ``cross`` or ``prefix``
            sites, or the text encoder where audio never reads its tokens one by one. ``text-encoder`` sites never use
            ``scale`` but ``bias``, in all layers and heads (``scale`` leaks there: a word at 0 still reaches the others
            through its own residual path), and of a [B, T, L] mask the maximum over T: the text is encoded once for all
            positions, so a word that is needed anywhere has to stay in.
        streams: names of text streams; all by default.
        rows: from the size of a batch to its conditional rows; the adapter's ``conditional_rows`` by default.
        strict: raise on leaving if a chosen site never ran.

    Raises:
        SettingError: the mask is not finite, not in [0, 1], not float, of a wrong shape; or a wrong layer, head,
            role or stream.
        SiteNotFoundError, SiteNotSeenError, SiteCallCountError, PatchError: see :func:`intercept`.
    """
    tensor = _as_factors(mask, "mask", 1)
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
    tensor = _as_factors(masks, "mask", 1)
    if len(tensor) != len(steps):
        raise SettingError(f"{len(tensor)} masks for {len(steps)} steps: give one each")
    pairs = [_interventions(mask[None], rule, heads) for mask in tensor]
    masked, encoded = (ByStep(part, lambda: model.mask_in_force) for part in zip(*pairs, strict=True))
    patched = _patched(model, masked, encoded, tensor.shape[-1], layers, roles, streams, rows, strict)
    with model.masking_by_step(steps), patched as record:
        yield record


def reweigh(
    model: Adapter, weights: Tensor | np.ndarray[Any, Any], *, rule: Rule = "bias", layers: Layers = "all",
    heads: Sequence[int] | None = None, roles: Sequence[Role] | None = None, streams: Sequence[str] | None = None,
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
    masked, encoded = _interventions(tensor, rule, heads)
    return _patched(model, masked, encoded, tensor.shape[-1], layers, roles, streams, rows, strict)


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
    """What acts where audio reads; and in text encoders, never by ``scale``, once for all positions, at most at 1."""
    shared = (mask if mask.ndim == 2 else mask.amax(1)).clamp(max=1)
    return MaskIntervention(mask, rule, heads), MaskIntervention(shared, "bias" if rule == "scale" else rule)


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
