"""Which words of a prompt made which part of a generated sound.

    import xattnmask as xm
    model = xm.load("foley-musicgen")
    generation = model.generate("a loud dog then a siren", seed=0)
    explanation = xm.explain(model, generation)
    explanation.words()

Everything named in ``__all__`` is imported when it is first used, so that ``import xattnmask`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapter import Adapter
    from .by_step import attention_map
    from .devices import input_device
    from .diffusion import Denoised, DiffusionAdapter
    from .editing import edit
    from .edits import WordEdit
    from .errors import (
        CheckpointError,
        FormatError,
        MissingLibraryError,
        NumericalError,
        OutputError,
        PatchError,
        PluginConflictError,
        PluginError,
        PromptError,
        SettingError,
        SiteCallCountError,
        SiteNotFoundError,
        SiteNotSeenError,
        UnknownKeyError,
        XattnmaskError,
    )
    from .evaluation import Evaluation, evaluate
    from .events import RunStart, StepEvent
    from .explainer import explain, regenerate
    from .generation import Generation
    from .judges import load_judge
    from .listing import list_judges, list_methods, list_models, list_worlds
    from .loading import load
    from .methods.base import Attribution, Method
    from .methods.forward import MaskedForward, masked_forward
    from .patching import capture_attention, patch, patch_steps
    from .plugins.hookspecs import hookimpl
    from .plugins.listeners import PluginWarning, register, unregister
    from .plugins.offers import Case, Checkpoint, Judge, World
    from .progress_bar import progress
    from .results import AttentionMap, Comparison, Explanation, WordTable, compare
    from .seeding import seeded
    from .sites import Site
    from .sound import read_audio
    from .text import Token, Word

    __version__: str

_HOMES = {
    "adapter": ["Adapter"],
    "by_step": ["attention_map"],
    "devices": ["input_device"],
    "diffusion": ["Denoised", "DiffusionAdapter"],
    "editing": ["edit"],
    "edits": ["WordEdit"],
    "errors": [
        "CheckpointError",
        "FormatError",
        "MissingLibraryError",
        "NumericalError",
        "OutputError",
        "PatchError",
        "PluginConflictError",
        "PluginError",
        "PromptError",
        "SettingError",
        "SiteCallCountError",
        "SiteNotFoundError",
        "SiteNotSeenError",
        "UnknownKeyError",
        "XattnmaskError",
    ],
    "evaluation": ["Evaluation", "evaluate"],
    "events": ["RunStart", "StepEvent"],
    "explainer": ["explain", "regenerate"],
    "generation": ["Generation"],
    "judges": ["load_judge"],
    "listing": ["list_judges", "list_methods", "list_models", "list_worlds"],
    "loading": ["load"],
    "methods.base": ["Attribution", "Method"],
    "methods.forward": ["MaskedForward", "masked_forward"],
    "patching": ["capture_attention", "patch", "patch_steps"],
    "plugins.hookspecs": ["hookimpl"],
    "plugins.listeners": ["PluginWarning", "register", "unregister"],
    "plugins.offers": ["Case", "Checkpoint", "Judge", "World"],
    "progress_bar": ["progress"],
    "results": ["AttentionMap", "Comparison", "Explanation", "WordTable", "compare"],
    "seeding": ["seeded"],
    "sites": ["Site"],
    "sound": ["read_audio"],
    "text": ["Token", "Word"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # resolved by __getattr__; a test keeps the two lists equal
    "Adapter",
    "AttentionMap",
    "Attribution",
    "Case",
    "Checkpoint",
    "CheckpointError",
    "Comparison",
    "Denoised",
    "DiffusionAdapter",
    "Evaluation",
    "Explanation",
    "FormatError",
    "Generation",
    "Judge",
    "MaskedForward",
    "Method",
    "MissingLibraryError",
    "NumericalError",
    "OutputError",
    "PatchError",
    "PluginConflictError",
    "PluginError",
    "PluginWarning",
    "PromptError",
    "RunStart",
    "SettingError",
    "Site",
    "SiteCallCountError",
    "SiteNotFoundError",
    "SiteNotSeenError",
    "StepEvent",
    "Token",
    "UnknownKeyError",
    "Word",
    "WordEdit",
    "WordTable",
    "World",
    "XattnmaskError",
    "__version__",
    "attention_map",
    "capture_attention",
    "compare",
    "edit",
    "evaluate",
    "explain",
    "hookimpl",
    "input_device",
    "list_judges",
    "list_methods",
    "list_models",
    "list_worlds",
    "load",
    "load_judge",
    "masked_forward",
    "patch",
    "patch_steps",
    "progress",
    "read_audio",
    "regenerate",
    "register",
    "seeded",
    "unregister",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib import metadata  # which imports half of the standard library

    try:
        return metadata.version("xattnmask")
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"
