"""What replays of all kinds share: their choices, and which sites a mask acts on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from ..adapter import Adapter
from ..errors import NumericalError, SettingError
from ..patching import Layers, select_sites
from ..sites import Role, Site

Context = Literal["none", "frozen", "joint", "isolated"]
CONTEXTS = ("none", "frozen", "joint", "isolated")
Depth = Literal["cross", "encoder"]
DEPTHS = ("cross", "encoder")
OnPass: TypeAlias = Callable[[slice, Tensor], None]
"""Called with the positions that one forward held, and their states [positions, width]."""


@contextmanager
def frozen_weights(model: Adapter) -> Iterator[None]:
    """No gradient reaches the backbone's weights while open; those that wanted one want it again afterwards."""
    trained = [weight for weight in model.backbone.parameters() if weight.requires_grad]
    try:
        for weight in trained:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise SettingError unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise SettingError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def default_depth(model: Adapter, num_tokens: int) -> Depth:
    """Where a mask acts when nothing is said: ``encoder`` where the adapter names sites of the text encoder.

    Else a word that is out where audio reads text still comes in through its neighbours, which have read it
    (docs/method.md).
    """
    inside = any(site.role == "text-encoder" for site in model.sites(num_tokens))
    return "encoder" if inside else "cross"


TEXT_STRETCHES = 5
"""Where nothing is said: a fifth of what a text for each of 25 bins costs the encoders."""


def default_text_stretches(model: Adapter, depth: Depth) -> int:
    """Into how many stretches of the audio the text is encoded apart when nothing is said: 5 where it can be.

    Encoded once for the whole clip, a word that is needed in one moment stays in the encoders for all others.
    """
    return TEXT_STRETCHES if depth == "encoder" and getattr(model, "encodes_apart", False) else 1


def mask_roles(model: Adapter, num_tokens: int, depth: Depth) -> tuple[Role, ...] | None:
    """The roles of the sites that a mask acts on, as :func:`xattnmask.patch` takes them.

    None, where words reach the audio, for depth ``cross``; for ``encoder`` all that words pass.
    """
    if depth == "cross":
        return None
    offered = {site.role for site in model.sites(num_tokens)}
    reading: tuple[Role, ...] = ("cross", "prefix")
    return (*(role for role in reading if role in offered), "text-encoder")


def has_history(model: Adapter, num_tokens: int) -> bool:
    """Whether what a position sees of the past can be taken away or kept."""
    return any(site.role == "self" for site in model.sites(num_tokens))


def sites_reading_tokens(
    model: Adapter, num_tokens: int, layers: Layers = "all", streams: Sequence[str] | None = None
) -> list[Site]:
    """The sites at which audio reads the prompt's tokens one by one.

    Raises:
        SettingError: there are none; or a layer or stream does not exist.
    """
    roles: tuple[Role, ...] = ("cross", "prefix")
    sites = model.sites(num_tokens)
    if not any(site.role in roles for site in sites):
        raise SettingError(f"model {model.key!r} reads the prompt as one vector: no attention on words to see")
    return select_sites(sites, layers, roles=roles, streams=streams)


def finite(hidden: Tensor, what: str) -> Tensor:
    """``hidden``; raises NumericalError where it is not finite."""
    if not torch.isfinite(hidden).all():
        raise NumericalError(f"{what} gave NaN or infinity: the model's weights or its dtype are at fault")
    return hidden
