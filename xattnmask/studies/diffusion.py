"""Masks of diffusion models: one for each denoising step or one for all, of which steps, compared as what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..adapter import Adapter
from ..diffusion import REPRESENTATIONS, DiffusionAdapter
from ..errors import SettingError
from ..evaluation.table import Evaluation
from ..objective import SIMILARITIES
from ..plugins.discovery import nearest
from .base import Finding, Setup, Study
from .bench import LIMIT, evaluated
from .by_step import StepRows, aggregates_of, reads_words, step_panels
from .variants import Variants, notes_of, panels_of

FIRST = "a mask for each step"
COUNTS = (1, 3, 5, 20)
"""Numbers of explained steps that are tried beside the default."""
HALVES = {"early": (0.0, 0.5), "late": (0.5, 1.0)}


def _masks(_: Adapter) -> Variants:
    return {"one mask for all steps": ("learned", {"per_step": False})}


def _windows(_: Adapter) -> Variants:
    each: Variants = {f"{name} steps": ("learned", {"window": half}) for name, half in HALVES.items()}
    shared: Variants = {f"one mask for {name} steps": ("learned", {"window": half, "per_step": False})
                        for name, half in HALVES.items()}
    return {**each, **shared}


def _steps(_: Adapter) -> Variants:
    return {f"{count} steps" if count > 1 else "1 step": ("learned", {"denoising_steps": count}) for count in COUNTS}


def _representations(_: Adapter) -> Variants:
    """All pairs but the default's, ``v`` by ``error``."""
    pairs = [(representation, similarity) for similarity in SIMILARITIES for representation in REPRESENTATIONS]
    return {f"{representation}, by {similarity}":
            ("learned", {"representation": representation, "similarity": similarity})
            for representation, similarity in pairs if (representation, similarity) != ("v", "error")}


def _baselines(model: Adapter) -> Variants:
    attention: Variants = {"mean attention": ("attention", {})} if reads_words(model) else {}
    return {"leave-one-out": ("leave-one-out", {}), **attention}


PARTS: Mapping[str, Callable[[Adapter], Variants]] = {
    "masks": _masks, "windows": _windows, "steps": _steps, "representations": _representations,
    "baselines": _baselines,
}  # fmt: skip
AGGREGATES = "aggregates"


class DiffusionStudy(Study):
    """Evaluates variants of the learned mask, and what the masks by step come to when they are made one."""

    name = "diffusion"
    question = "Of a diffusion model: one mask for each denoising step or for all, of which steps, compared as what."
    options = {  # noqa: RUF012
        "parts": f"what stands beside {FIRST}, of {', '.join((*PARTS, AGGREGATES))} (default: all)",
        "bins": "stretches of audio with a mask each (default: that of the methods)",
        "method": f"the method of {FIRST}, whose steps are made one (default: learned)",
    }

    def _run(self, setup: Setup) -> Finding:
        if not isinstance(setup.model, DiffusionAdapter):
            raise SettingError(f"study 'diffusion' is for diffusion models; {setup.model.key!r} is autoregressive")
        parts, common, method = _parts(setup.options), _common(setup.options), setup.options.get("method", "learned")
        variants: Variants = {FIRST: (method, {})}
        for part in parts:
            variants.update(PARTS[part](setup.model) if part in PARTS else {})
        variants = {name: (method, {**settings, **common}) for name, (method, settings) in variants.items()}
        rows, by_step, methods = list(evaluated(setup, variants)), [], list(variants)
        if AGGREGATES in parts:
            made = StepRows(setup, method, common, LIMIT).rows()
            by_step = [row for row in made if row["step"] is not None]
            rows += [row for row in made if row["step"] is None]
            methods += aggregates_of(setup.model)
        found = Evaluation(rows, methods)
        kept = [{name: value for name, value in row.items() if name != "words"} for row in (*rows, *by_step)]
        return Finding(self.name, kept, found.to_markdown(), (*panels_of(found), *step_panels(by_step)),
                       notes_of(found))


def _parts(options: Mapping[str, str]) -> list[str]:
    offered = (*PARTS, AGGREGATES)
    parts = [part.strip() for part in options.get("parts", ",".join(offered)).split(",")]
    for part in parts:
        if part not in offered:
            raise SettingError(f"study 'diffusion' has no part {part!r}: {nearest(part, offered)}")
    return parts


def _common(options: Mapping[str, str]) -> dict[str, Any]:
    """Settings that all variants have."""
    if "bins" not in options:
        return {}
    if not options["bins"].isdecimal() or int(options["bins"]) < 1:
        raise SettingError(f"bins must be a whole number, at least 1, not {options['bins']!r}")
    return {"bins": int(options["bins"])}


DIFFUSION = DiffusionStudy()
