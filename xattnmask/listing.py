"""What is installed: models, named checkpoints, methods, judges and worlds, from metadata alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .plugins.discovery import ADAPTERS, CHECKPOINTS, JUDGES, METHODS, WORLDS, Offer, offers
from .plugins.libraries import Library, backbone_libraries

Status = Literal["ok", "conflict", "missing library"]


@dataclass(frozen=True)
class ModelInfo:
    """One model key, as installed.

    Attributes:
        key: the name users type.
        distribution: the distribution that offers it.
        version: that distribution's version.
        libraries: what its distribution needs beyond the core, with installed versions.
        status: ``ok``; ``conflict``, another distribution claims the key; ``missing library``.
    """

    key: str
    distribution: str
    version: str
    libraries: tuple[Library, ...]
    status: Status


def list_models() -> list[ModelInfo]:
    """The installed model adapters; none of them, nor any library, is imported."""
    return [_model(offer) for offer in offers(ADAPTERS)]


def list_checkpoints() -> list[Offer]:
    """The installed named checkpoints, by metadata."""
    return offers(CHECKPOINTS)


def list_methods() -> list[Offer]:
    """The installed attribution methods, by metadata."""
    return offers(METHODS)


def list_judges() -> list[Offer]:
    """The installed audio classifiers, by metadata."""
    return offers(JUDGES)


def list_worlds() -> list[Offer]:
    """The installed worlds with known causes, by metadata."""
    return offers(WORLDS)


def _model(offer: Offer) -> ModelInfo:
    libraries = tuple(backbone_libraries(offer.distribution))
    return ModelInfo(offer.key, offer.distribution, offer.version, libraries, _status(offer, libraries))


def _status(offer: Offer, libraries: tuple[Library, ...]) -> Status:
    if offer.status == "conflict":
        return "conflict"
    return "missing library" if any(library.installed is None for library in libraries) else "ok"
