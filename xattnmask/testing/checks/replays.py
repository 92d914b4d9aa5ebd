"""The replay is what was generated; positions are positions; history can be left out where a model says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...generation import Generation
from ...patching import frozen_history, no_history, patch, record_history
from ...replaying import has_history
from ...sites import Site
from ..check import Broken, NotApplicable, check, require
from ..measuring import EXACT, ByPosition, difference, last_module, outputs_of, readers, same, watching
from ..subject import Subject

Enter: TypeAlias = Callable[[], AbstractContextManager[Any]]

_REMEDY = ("replay is teacher-forced over what was generated: the same codes or latents, delays, text, padding masks "
           "and position numbers as in generate")


@check("the replay computes what the generation computed, masked and not", f"{_REMEDY}.")
def replay(subject: Subject) -> None:
    if subject.diffusion is None:
        _sequence(subject)
    else:
        _denoising(subject)


def _sequence(subject: Subject) -> None:
    model, tokens = subject.model, len(subject.generation().tokens)
    sites = [site for site in readers(model, tokens) if site.role != "text-encoder"]
    if not sites:
        raise NotApplicable("no position reads the prompt by itself: there is nothing to compare by position")
    generator = torch.Generator().manual_seed(1)
    positions = int(subject.generation().positions.max()) + 1
    mask = 0.2 + 0.8 * torch.rand(1, positions, tokens, generator=generator)
    for what, used in (("", torch.ones(1, tokens)), (" under a mask that differs by position", mask)):
        for guidance in (1.0, 3.0):
            theirs, ours = ByPosition(), ByPosition()
            with patch(model, used), watching(model, sites, theirs):
                made = model.regenerate(subject.generation(guidance))
            with torch.no_grad(), patch(model, used), watching(model, sites, ours):
                model.replay(made)
            for site in sites:
                _compare(site, f"{what}, guidance {guidance:g}", made, theirs.found[site.path], ours.found[site.path])


def _compare(site: Site, what: str, made: Generation, theirs: dict[int, Tensor], ours: dict[int, Tensor]) -> None:
    start = site.queries.start or 0
    wanted = [start + position for position in sorted(set(made.positions.ravel().tolist()))]
    for where, found in (("generate", theirs), ("replay", ours)):
        missing = [position for position in wanted if position not in found]
        require(not missing, f"site {site.path}: {where} has no query at {len(missing)} of {len(wanted)} positions "
                f"(the first is {missing[:1]}){what}: under a key-value cache give Site.offset, from the arguments of "
                "the module's forward to the position of its first query; and see Generation.positions")
    off = [position for position in wanted if not same(ours[position], theirs[position])]
    if off:
        by = difference(ours[off[0]], theirs[off[0]])
        raise Broken(f"site {site.path}{what}: replay differs from generate at {len(off)} of {len(wanted)} positions "
                     f"(first at {off[0] - start}, by {by:.1%} of the largest value): {_REMEDY}")


def _denoising(subject: Subject) -> None:
    """Compares what the last module of the denoiser gave; the audio's own way there is through it."""
    model = subject.diffusion
    assert model is not None
    for guidance in (1.0, 3.0):
        made = subject.generation(guidance)
        steps = list(range(len(made.noise_levels)))  # type: ignore[arg-type]
        with torch.no_grad():
            last = last_module(model, lambda made=made, steps=steps: model.denoise(made, steps))  # type: ignore[misc]
        require(last is not None, "denoise runs no module of the backbone: backbone must hold the denoiser")
        assert last is not None
        theirs: list[Tensor] = []
        ours: list[Tensor] = []
        with outputs_of(last, lambda out, kept=theirs: kept.append(out[model.conditional_rows(len(out))][:1])):  # type: ignore[misc]
            model.regenerate(made)
        with outputs_of(last, ours.append), torch.no_grad():
            model.denoise(made, steps)
        require(len(theirs) == len(steps), f"the denoiser was called {len(theirs)} times and noise_levels has "
                f"{len(steps)} values: record every call")
        for step, kept in enumerate(theirs):
            off = difference(ours[0][step : step + 1], kept)
            require(off <= EXACT, f"denoise differs from generate at step {step} (guidance {guidance:g}), by {off:.1%} "
                    "of the largest value: keep the latents that the denoiser was given, its timestep and its other "
                    "inputs, and encode the text as generate did")


@check("row t of a mask is position t: it changes that position and none before it",
       "See Site.queries and Generation.positions, and whether the decoder is causal.")
def causal(subject: Subject) -> None:
    clean, found, at = _masked_at_the_middle(subject)
    early = difference(found[:, :at], clean[:, :at])
    require(early <= EXACT, f"a mask at position {at} changes earlier ones (by {early:.1%}): the decoder is not causal "
            "(an attention implementation that is not set?), or queries and positions are shifted")
    require(not same(found[:, at], clean[:, at]), f"a mask at position {at} does not change position {at}: row t of a "
            "mask must be the query of position t (Site.queries, the delay pattern)")


@check("self sites carry all of the history: without them positions do not know of each other",
       "See the sites of role self: one for each layer, and nothing else may mix positions.")
def history(subject: Subject) -> None:
    model, made = subject.model, _sequence_only(subject)
    tokens = len(made.tokens)
    if not has_history(model, tokens):
        raise NotApplicable("no site has the role self: the context 'joint' alone is offered")
    with torch.no_grad(), record_history(model, tokens) as recorded:
        clean = model.replay(made)
    contexts: dict[str, Enter] = {"none": lambda: no_history(model, tokens),
                                  "frozen": lambda: frozen_history(model, tokens, recorded)}
    for context, enter in contexts.items():
        with enter(), torch.no_grad():
            before = model.replay(made)
        require(context == "none" or same(before, clean), "the recorded history does not give the replay again: "
                "recorded keys and values are those of one row; replay must be deterministic")
        _, found, at = _masked_at_the_middle(subject, enter)
        late = difference(found[:, at + 1 :], before[:, at + 1 :])
        require(late <= EXACT, f"context {context}: a mask at position {at} still changes later ones (by {late:.1%}): "
                "a self-attention layer is missing among the sites of role self, or something else (convolution, "
                "recurrence) carries history; then name no self sites")


def _sequence_only(subject: Subject) -> Generation:
    if subject.diffusion is not None:
        raise NotApplicable("a diffusion model's positions are not a sequence")
    return subject.generation()


def _masked_at_the_middle(subject: Subject, enter: Enter = nullcontext) -> tuple[Tensor, Tensor, int]:
    """States without a mask and with zeros at the middle position alone, and which that is."""
    model, made = subject.model, _sequence_only(subject)
    if all(site.role == "text-encoder" for site in readers(model, len(made.tokens))):
        raise NotApplicable("no position reads the prompt by itself")
    positions = int(made.positions.max()) + 1
    if positions < 3:
        raise NotApplicable(f"{positions} positions are too few: generate more audio")
    at = positions // 2
    mask = torch.ones(1, positions, len(made.tokens))
    mask[:, at] = 0
    with torch.no_grad():
        clean = model.replay(made)
        with patch(model, mask), enter():
            return clean, model.replay(made), at
