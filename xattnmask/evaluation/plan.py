"""What is to be evaluated: methods with their settings, metrics, and how sounds are made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import SettingError
from ..explainer import MASKS, MaskKind
from ..optional import need
from ..plugins.discovery import METHODS, find, nearest

METRICS = ("fidelity", "truth", "curves", "infidelity", "sensitivity")
"""What can be measured; docs/metrics.md has the formulas."""
TRUTHS = ("given", "generated")
_BY_EAR = ("fidelity", "curves")
_LIBRARIES = {"truth": ("sklearn", "metrics"), "infidelity": ("captum", "captum"), "sensitivity": ("captum", "captum")}
Methods = Mapping[str, tuple[str, Mapping[str, Any]]]
"""By the name that stands in the table: an attribution method's key, and its settings."""


@dataclass(frozen=True)
class Plan:
    """What :func:`xattnmask.evaluate` does with each prompt; its arguments say what each field means."""

    methods: Methods
    metrics: tuple[str, ...]
    seed: int = 0
    repeats: int = 3
    top: int = 3
    truth: str = "given"
    mask: MaskKind = "own"
    generate: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.methods:
            raise SettingError("name at least one method")
        for name, least in (("seed", 0), ("repeats", 1), ("top", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise SettingError(f"{name} must be a whole number, at least {least}, not {value!r}")
        for metric in self.metrics:
            if metric not in METRICS:
                raise SettingError(f"no metric {metric!r}: {nearest(metric, METRICS)}")
        for name, choices in (("truth", TRUTHS), ("mask", MASKS)):
            if getattr(self, name) not in choices:
                raise SettingError(f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}")

    @property
    def own_sounds(self) -> bool:
        """Whether sounds that the model makes itself are explained."""
        return set(self.metrics) != {"truth"} or self.truth == "generated"

    @property
    def given_sounds(self) -> bool:
        """Whether a world's own sounds are explained."""
        return "truth" in self.metrics and self.truth == "given"

    def as_dict(self) -> dict[str, Any]:
        """What shapes the results, JSON-able."""
        return dict(json.loads(json.dumps(asdict(self), default=str)))


def checked_methods(methods: Sequence[str] | Methods) -> Methods:
    """Methods by the name that stands in the table; raises UnknownKeyError or SettingError for what does not exist."""
    if isinstance(methods, str):
        raise SettingError(f"methods are a sequence of names, not the text {methods!r}")
    named: Methods = methods if isinstance(methods, Mapping) else {name: (name, {}) for name in methods}
    for key, settings in named.values():
        find(METHODS, key)
        _load(key).steps(**settings)
    return named


def checked_metrics(wanted: Sequence[str] | None, judge: bool, world: bool) -> tuple[str, ...]:
    """The metrics that are wanted, by default those for which there is a judge or a world; their libraries are there.

    Raises:
        SettingError: a metric lacks what it needs, or there is none.
        MissingLibraryError: a library is not installed.
    """
    metrics = (["fidelity"] * judge + ["truth"] * world) if wanted is None else list(dict.fromkeys(wanted))
    if not metrics:
        raise SettingError("there is nothing to score by: give a judge, a world or metrics")
    for metric in metrics:
        if metric in _BY_EAR and not judge:
            raise SettingError(f"metric {metric!r} needs a judge")
        if metric == "truth" and not world:
            raise SettingError("metric 'truth' needs a world whose causes are known")
        if metric in _LIBRARIES:
            need(*_LIBRARIES[metric])
    need("scipy", "metrics")
    return tuple(metrics)


def _load(key: str) -> Any:
    from ..plugins.registry import method

    return method(key)
