"""Other precisions and places, given sounds, and the whole way to an explanation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...errors import SettingError, XattnmaskError
from ...patching import patch
from ..check import NotApplicable, check, require
from ..measuring import difference
from ..subject import Subject
from . import masks
from .masks import refuses_batches

_COARSE = 0.05  # eight bits of mantissa, through a whole model


@check("the adapter works in bfloat16", "Pass dtype on in from_checkpoint, and cast inputs to the weights' dtype.")
def bfloat16(subject: Subject) -> None:
    try:
        other = subject.on("cpu", "bfloat16")
    except SettingError as error:
        raise NotApplicable(f"refused: {error}") from error
    require(any(weight.dtype == torch.bfloat16 for weight in other.weights()), "dtype='bfloat16' leaves all weights in "
            "another dtype: pass dtype on in from_checkpoint")
    _works(other, "in bfloat16", _COARSE)
    _takes_over(other, subject, "in bfloat16")


@check("the adapter works on CUDA", "Make all inputs on the backbone's device, and bring results back by .cpu().")
def cuda(subject: Subject) -> None:
    if not torch.cuda.is_available():
        raise NotApplicable("torch sees no CUDA device here")
    other = subject.on("cuda", "float32")
    require(all(weight.is_cuda for weight in other.weights()), "device='cuda' leaves weights on the CPU: move all of "
            "them in from_checkpoint")
    _works(other, "on CUDA", 0.01)
    _takes_over(other, subject, "on CUDA")
    first = other.generation().audio
    require(bool(np.array_equal(other.generate().audio, first)), "on CUDA the same seed makes other audio")


def _takes_over(other: Subject, subject: Subject, where: str) -> None:
    """What one model made is explained by another that holds the same weights elsewhere or in another precision."""
    try:
        with torch.no_grad():
            states = other.model.replay(subject.generation())
    except RuntimeError as error:
        require(False, f"{where} a generation made in float32 on the CPU is not replayed ({error}): bring what it "
                "keeps to the backbone's device and dtype in replay")
    require(bool(torch.isfinite(states).all()), f"{where} replay of a generation made in float32 gives NaN or infinity")


def _works(subject: Subject, where: str, share: float) -> None:
    made = subject.generation()
    require(bool(np.isfinite(made.audio).all()) and made.audio.dtype == np.float32, f"{where} the audio is not finite "
            "float32: make it .float() before numpy")
    clean = masks.replayed(subject)
    require(bool(torch.isfinite(clean).all()), f"{where} replay gives NaN or infinity")
    off = difference(masks.replayed(subject, masks.constant(subject, 1)), clean)
    require(off <= share, f"{where} a mask of ones changes the replay by {off:.1%} of its largest value")
    moved = difference(masks.replayed(subject, masks.constant(subject, 0)), clean)
    require(moved > off, f"{where} a mask of zeros changes nothing: see Site.keys")
    mask = masks.constant(subject, 0.5).requires_grad_()
    with torch.enable_grad(), patch(subject.model, mask):
        subject.model.replay(made).float().sum().backward()  # type: ignore[no-untyped-call]
    require(mask.grad is not None and bool(torch.isfinite(mask.grad).all()), f"{where} no finite gradient reaches the "
            "mask")


@check("a given sound is taken in as a generation, where the adapter can", "See Adapter._encode.")
def encode(subject: Subject) -> None:
    made, model = subject.generation(), subject.model
    try:
        taken = model.encode(made.prompt, made.audio, made.sample_rate)
    except SettingError as error:
        if "cannot take in" in str(error):
            raise NotApplicable("the adapter takes in no sounds (_encode is not given)") from error
        raise
    require(taken.encoded, "a generation of a given sound must say encoded=True")
    require(taken.tokens == made.tokens and abs(taken.duration - made.duration) <= 0.1 * made.duration, "a sound that "
            "is taken in must keep its length and the prompt's tokens")
    with torch.no_grad():
        states = model.replay(taken)
    require(states.shape[1] == int(taken.positions.max()) + 1 or subject.diffusion is not None, "replay of a given "
            f"sound has {states.shape[1]} positions and its generation names {int(taken.positions.max()) + 1}")
    require(bool(torch.isfinite(states).all()), "replay of a given sound gives NaN or infinity")


@check("the whole way: an explanation is made and its masks make audio again", "See the message.")
def explanation(subject: Subject) -> None:
    from ...explainer import explain, regenerate

    made = subject.generation()
    one_by_one: dict[str, Any] = {"batched": False, "start": 0.0} if refuses_batches(subject) else {}
    try:
        found = explain(subject.model, made, method="learned", steps=2, **one_by_one)
        sounds = regenerate(subject.model, made, found)
    except XattnmaskError as error:
        require(False, f"explaining fails: {type(error).__name__}: {error}")
    require(bool(np.isfinite(found.importance).all()), "importance is not finite")
    require([word.text for word in found.words()] == [word.text for word in made.words], "words get lost on the way")
    require(all(np.isfinite(sound).all() for sound in sounds.values()), "the audio made again holds NaN or infinity")
