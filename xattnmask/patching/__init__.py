"""Patching a backbone: what its attention on the text does while a context is open.

Everything is undone on leaving, whatever happened; a patch that would do nothing raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ..adapter import Adapter
from ..edits import MAX_WEIGHT
from ..errors import SettingError
from ..sites import Role, Site
from .applying import as_factors, choose_sites, interventions_of, patched, sites_of, stretches_in_force
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
from .select import Layers, reading_sites, select_sites
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
    text_stretches: int = 1, rows: Rows | None = None, strict: bool = True,
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
            positions, so a word that is needed anywhere has to stay in; see ``text_stretches``.
        streams: names of text streams; all by default.
        text_stretches: into how many stretches of equal length, at most T, the audio of a diffusion model is cut; for
            each the text is encoded apart, under the maximum over its own rows alone. Only where the model has
            ``encodes_apart``; where no text encoder is masked by time it is all the same.
        rows: from the size of a batch to its conditional rows; the adapter's ``conditional_rows`` by default.
        strict: raise on leaving if a chosen site never ran.

    Raises:
        SettingError: the mask is not finite, not in [0, 1], not float, of a wrong shape; or a wrong layer, head,
            role or stream.
        SiteNotFoundError, SiteNotSeenError, SiteCallCountError, PatchError: see :func:`intercept`.
    """
    tensor = as_factors(mask, "mask", 1)
    chosen = sites_of(model, tensor.shape[-1], layers, roles, streams)
    stretches = stretches_in_force(model, chosen, tensor, text_stretches)
    masked, encoded = interventions_of(tensor, rule, heads, stretches)
    return patched(model, chosen, masked, encoded, tensor, stretches, rows, strict)


@contextmanager
def patch_steps(
    model: DiffusionAdapter, masks: Tensor | np.ndarray[Any, Any], steps: Sequence[int], *, rule: Rule = "scale",
    layers: Layers = "all", heads: Sequence[int] | None = None, roles: Sequence[Role] | None = None,
    streams: Sequence[str] | None = None, text_stretches: int = 1, rows: Rows | None = None, strict: bool = True,
) -> Iterator[PatchRecord]:  # fmt: skip
    """While open, a diffusion model generates under a mask of its own at each denoising step.

    Args:
        model: the adapter of a diffusion model.
        masks: float in [0, 1], [S, L] (the same for all queries) or [S, T, L] (T stretches of audio of equal length).
        steps: which denoising step each of the S masks is for, counted from 0; a step between them takes the mask of
            the nearest one.
        rule, layers, heads, roles, streams, text_stretches, rows, strict: as in :func:`patch`.

    Raises: as :func:`patch`.
    """
    tensor = as_factors(masks, "mask", 1)
    if len(tensor) != len(steps):
        raise SettingError(f"{len(tensor)} masks for {len(steps)} steps: give one each")
    chosen = sites_of(model, tensor.shape[-1], layers, roles, streams)
    stretches = stretches_in_force(model, chosen, tensor, text_stretches)
    pairs = [interventions_of(mask[None], rule, heads, stretches) for mask in tensor]
    masked, encoded = (ByStep(part, lambda: model.mask_in_force) for part in zip(*pairs, strict=True))
    opened = patched(model, chosen, masked, encoded, tensor, stretches, rows, strict)
    with model.masking_by_step(steps), opened as record:
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
    tensor = as_factors(weights, "weight", MAX_WEIGHT)
    masked, encoded = interventions_of(tensor, rule, heads)
    chosen = sites_of(model, tensor.shape[-1], layers, roles, streams)
    return patched(model, chosen, masked, encoded, tensor, 1, rows, strict)


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
    sites = choose_sites(model.sites(num_tokens), layers, roles, streams)
    capture = CaptureProbabilities(callback)
    pairs = [(site, capture) for site in sites]
    with intercept(model.backbone, pairs, rows or model.conditional_rows, strict=strict) as record:
        yield record
