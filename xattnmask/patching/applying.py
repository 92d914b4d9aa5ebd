"""What a mask becomes: checked factors, the sites it acts on, and what is done at each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from ..adapter import Adapter
from ..errors import SettingError
from ..sites import Role, Site
from .apart import EncodedApart, OwnText
from .intercept import PatchRecord, intercept
from .interventions import Intervention, MaskIntervention, Rule
from .mode import Rows
from .select import Layers, masked_sites, reading_sites, select_sites

if TYPE_CHECKING:
    from ..diffusion import DiffusionAdapter


def interventions_of(
    mask: Tensor, rule: Rule, heads: Sequence[int] | None, stretches: int = 1
) -> tuple[Intervention, Intervention]:
    """What acts where audio reads; and in text encoders, never by ``scale``, at most at 1: for all positions, or apart
    for stretches of the audio."""
    masked, inside = MaskIntervention(mask, rule, heads), rule if rule != "scale" else "bias"
    if stretches > 1:
        return OwnText(masked, mask.shape[1], stretches), EncodedApart(mask, inside, stretches)
    shared = (mask if mask.ndim == 2 else mask.amax(1)).clamp(max=1)
    return masked, MaskIntervention(shared, inside)


def stretches_in_force(model: Adapter, chosen: Sequence[Site], masks: Tensor, wanted: int) -> int:
    """Into how many stretches the text is encoded apart; 1 where that is all the same."""
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise SettingError(f"text_stretches must be a whole number, at least 1, not {wanted!r}")
    if wanted > 1 and not getattr(model, "encodes_apart", False):
        raise SettingError(f"model {model.key!r} encodes its text once for the whole clip: leave text_stretches at 1")
    inside = any(site.role == "text-encoder" for site in chosen)
    return min(wanted, masks.shape[1]) if masks.ndim == 3 and inside else 1


@contextmanager
def patched(
    model: Adapter, chosen: Sequence[Site], masked: Intervention, encoded: Intervention, mask: Tensor, stretches: int,
    rows: Rows | None, strict: bool,
) -> Iterator[PatchRecord]:  # fmt: skip
    """Interception of the chosen sites; and, where the text is encoded apart, of all others at which audio reads it.

    Args:
        masked, encoded: as :func:`interventions_of` gives them.
        mask: [..., T, L], for its shape.
    """
    if stretches == 1 and getattr(model, "texts", 1) > 1:
        raise SettingError("the text is encoded apart for stretches of the audio already: such patches do not nest")
    pairs = [(site, encoded if site.role == "text-encoder" else masked) for site in chosen]
    with ExitStack() as stack:
        if stretches > 1:
            own = OwnText(None, mask.shape[1], stretches)
            paths = {site.path for site in chosen}
            others = [site for site in model.sites(mask.shape[-1]) if site.role in ("cross", "summary")]
            pairs += [(site, own) for site in others if site.path not in paths]
            stack.enter_context(cast("DiffusionAdapter", model).encoding_apart(stretches + 1))
        yield stack.enter_context(intercept(model.backbone, pairs, rows or model.conditional_rows, strict=strict))


def sites_of(
    model: Adapter, num_tokens: int, layers: Layers, roles: Sequence[Role] | None, streams: Sequence[str] | None
) -> list[Site]:
    """The sites that a mask acts on; raises SettingError for roles without text keys, and as :func:`select_sites`."""
    unworded = sorted({"self", "summary"} & set(roles or ()))
    if unworded:
        raise SettingError(
            f"role {unworded[0]!r} has no text keys to mask; choose among cross, prefix and text-encoder"
        )
    return choose_sites(model.sites(num_tokens), layers, roles, streams)


def choose_sites(
    sites: Sequence[Site], layers: Layers, roles: Sequence[Role] | None, streams: Sequence[str] | None
) -> list[Site]:
    """The sites of some roles, by default those where words reach the audio; text encoders in all layers."""
    if roles is None:
        return reading_sites(sites, layers, streams=streams)
    for role in roles:
        select_sites(sites, roles=(role,))  # a role that the model does not have is an error
    return masked_sites(sites, layers, roles=roles, streams=streams)


def as_factors(value: Tensor | np.ndarray[Any, Any], name: str, most: float) -> Tensor:
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
