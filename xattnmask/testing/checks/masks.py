"""What masks do: nothing at one, something at zero, by row, with gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...errors import SettingError
from ...patching import Rule, patch
from ...replaying import mask_roles
from ..check import Broken, Doubtful, check, require
from ..measuring import EXACT, difference, readers, same
from ..subject import Subject

_RULES: tuple[Rule, ...] = ("scale", "bias")
_NOT_READ = ("name the modules in which audio reads the prompt (all layers of them), with the key columns of its "
             "tokens; if the weights are random, make them larger so that the text matters")


def replayed(subject: Subject, mask: Tensor | None = None, **settings: object) -> Tensor:
    """Hidden states [batch, positions, width] of the replay, under a mask if there is one."""
    made = subject.generation()
    if mask is None:
        with torch.no_grad():
            return subject.model.replay(made)
    with torch.no_grad(), patch(subject.model, mask, **settings):  # type: ignore[arg-type]
        return subject.model.replay(made, batch=1)


def constant(subject: Subject, value: float, rows: int = 1) -> Tensor:
    """A mask [rows, tokens] of one value, where the backbone is."""
    return torch.full((rows, len(subject.generation().tokens)), float(value), device=next(subject.weights()).device)


def encoder_roles(subject: Subject) -> tuple[str, ...] | None:
    """The roles of depth ``encoder``; None where the text encoder has no sites."""
    model, tokens = subject.model, len(subject.generation().tokens)
    if all(site.role != "text-encoder" for site in model.sites(tokens)):
        return None
    return mask_roles(model, tokens, "encoder")


@check("a mask of ones changes nothing, in generation as in replay",
       "See Site.keys and queries: the mask must fit the prompt's key columns.")
def ones(subject: Subject) -> None:
    clean, mask = replayed(subject), constant(subject, 1)
    for rule in _RULES:
        for which, roles in (("the reading sites", None), ("all of the text encoder too", encoder_roles(subject))):
            for form in (mask, mask[:, None].expand(-1, 3, -1)):
                off = difference(replayed(subject, form, rule=rule, roles=roles), clean)
                require(off <= EXACT, f"a mask of ones at {which}, rule {rule}, changes the replay by {off:.1%} of its "
                        "largest value: the replay must be deterministic (backbone.eval(), no sampling in it)")
    for guidance in (1.0, 3.0):
        made = subject.generation(guidance)
        with patch(subject.model, mask):
            again = subject.model.regenerate(made)
        require(same(again.audio, made.audio), f"a mask of ones changes the audio at guidance {guidance:g}: generate "
                "must be repeatable, and run the same modules with and without a patch")


@check("a mask of zeros changes what is generated and replayed, stays finite, and so does each stream of text alone",
       "See Site.keys and role.")
def zeros(subject: Subject) -> None:
    model, clean, mask = subject.model, replayed(subject), constant(subject, 0)
    for rule in _RULES:
        for guidance in (1.0, 3.0):
            made = subject.generation(guidance)
            with patch(model, mask, rule=rule):
                audio = model.regenerate(made).audio
            require(bool(np.isfinite(audio).all()), f"without any word (rule {rule}, guidance {guidance:g}) the audio "
                    "is NaN or infinite: a query without keys must give 0")
            require(not same(audio, made.audio), f"the audio stays the same without any word (rule {rule}, guidance "
                    f"{guidance:g}): {_NOT_READ}; and conditional_rows must name the prompt's rows while generating")
    _each_stream(subject, clean, mask)


def _each_stream(subject: Subject, clean: Tensor, mask: Tensor) -> None:
    streams = {site.stream for site in readers(subject.model, mask.shape[-1])}
    for stream in sorted(streams):
        found = replayed(subject, mask, streams=[stream])
        require(bool(torch.isfinite(found).all()), f"without the words of stream {stream!r} the replay is NaN or "
                "infinite")
        require(not same(found, clean), f"the replay stays the same without the words of stream {stream!r}: "
                f"{_NOT_READ}")


@check("with every word at zero, the prompt does not matter", "See sites(): a layer or a stream may be missing.")
def leak(subject: Subject) -> None:
    made, other = subject.generation(), subject.other_prompt()
    swapped = replace(made, prompt=other, tokens=subject.model.tokenize(other))
    model, mask = subject.model, constant(subject, 0)
    # By bias: where other keys are attended too, scale leaves the words their share of the softmax.
    roles = encoder_roles(subject) if all(s.role == "text-encoder" for s in readers(model, mask.shape[-1])) else None
    with torch.no_grad():
        moved = difference(model.replay(swapped), model.replay(made))
        with patch(model, mask, rule="bias", roles=roles):  # type: ignore[arg-type]
            left = difference(model.replay(swapped), model.replay(made))
    require(moved > EXACT, f"replay gives the same for {other!r} as for {made.prompt!r}: it must encode the "
            "generation's own prompt or tokens (and if the weights are random, make them larger)")
    if left > EXACT:
        raise Doubtful(f"with every word at 0, another prompt still changes the replay ({left:.1%} of its largest "
                       f"value, {moved:.1%} without the mask): a layer or a text stream is missing in sites(), or the "
                       "text enters by another way than attention, which your documentation should say")


@check("gradients reach the mask of every token of the prompt",
       "replay must leave grad mode alone: no torch.no_grad() or inference_mode() in it, no .detach() on the way.")
def gradient(subject: Subject) -> None:
    for what, roles in (("the reading sites", None), ("the text encoder", encoder_roles(subject))):
        if what == "the text encoder" and roles is None:
            continue
        mask = constant(subject, 0.5).requires_grad_()
        with torch.enable_grad(), patch(subject.model, mask, rule="bias", roles=roles):  # type: ignore[arg-type]
            states = subject.model.replay(subject.generation()).float()
            require(states.requires_grad, "no gradient comes through replay: it runs under no_grad or inference_mode, "
                    "or detaches; leave grad mode to the caller")
            (states * _directions(states)).sum().backward()  # type: ignore[no-untyped-call]
        missing = _without_gradient(subject, mask.grad)
        require(not missing, f"no gradient of {what} reaches the tokens {missing}: their key columns are not among "
                "Site.keys, or another column stands in their place")


def _directions(states: Tensor) -> Tensor:
    """Fixed random weights: the sum of squares of normalised states would be constant, and its gradient zero."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(states.shape, generator=generator).to(states.device)


def _without_gradient(subject: Subject, gradient: Tensor | None) -> list[str]:
    made = subject.generation()
    if gradient is None:
        return [token.text for token in made.tokens]
    require(bool(torch.isfinite(gradient).all()), "the gradient is NaN or infinite: check padding masks and dtype")
    worded = {index for word in made.words for index in word.tokens}
    return [made.tokens[index].text for index in sorted(worded) if gradient[0, index] == 0]


@check("rows of a batch do not know of each other: one equals many, and each has its own mask, or it is refused",
       "replay repeats the generation `batch` times along the rows; prompt and audio alike.")
def batch(subject: Subject) -> None:
    if refuses_batches(subject):
        return  # right for a model whose rows cannot be kept apart
    clean = replayed(subject)
    with torch.no_grad():
        many = subject.model.replay(subject.generation(), batch=3)
    require(many.shape == (3, *clean.shape[1:]), f"replay(batch=3) returns {list(many.shape)}, not "
            f"{[3, *clean.shape[1:]]}")
    for row in many:
        require(same(row, clean[0]), f"a row of replay(batch=3) differs from replay(batch=1) by "
                f"{difference(row, clean[0]):.1%}: rows must not depend on their mates (padding?), or refuse batch > 1 "
                "with SettingError")
    _own_masks(subject, clean)


def refuses_batches(subject: Subject) -> bool:
    """Whether replay takes one copy alone, and says so."""
    try:
        with torch.no_grad():
            subject.model.replay(subject.generation(), batch=2)
    except SettingError:
        return True
    return False


def _own_masks(subject: Subject, clean: Tensor) -> None:
    diffusion = subject.diffusion
    steps = 1 if diffusion is None else len(subject.generation().noise_levels)  # type: ignore[arg-type]
    masks = torch.cat([constant(subject, 0, steps), constant(subject, 1, steps)])
    with torch.no_grad(), patch(subject.model, masks):
        first, second = subject.model.replay(subject.generation(), batch=2)
    if same(first, clean[0]):
        raise Broken("the first mask of a batch of two does nothing: row b of the batch at the sites must be copy b of "
                     "the generation (of a diffusion model, row b * steps + s copy b of step s)")
    require(same(second, clean[0]), "the first mask of a batch of two reaches the second row: keep the copies apart")
