"""What an adapter says of itself, its generations, its seeds and its errors."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import CheckpointError, PatchError, PromptError, SettingError, XattnmaskError
from ...generation import Generation
from ...patching import intercept
from ..check import check, require
from ..subject import SEED, Subject


@check("the adapter says what it is, and its backbone is in evaluation mode", "See xattnmask.Adapter for its "
        "attributes.")
def contract(subject: Subject) -> None:
    model = subject.model
    for name in ("key", "library", "checkpoint"):
        value = getattr(model, name, None)
        require(isinstance(value, str) and bool(value), f"{name} must be a non-empty string, not {value!r}: set it")
    require(isinstance(getattr(model, "backbone", None), nn.Module), "backbone must be the torch module that site "
            "paths start from: set self.backbone")
    limit = getattr(model, "max_tokens", None)
    require(isinstance(limit, int) and limit > 0, f"max_tokens must be a whole number above 0, not {limit!r}: set it "
            "to what the text encoder takes, special tokens included")
    most = getattr(model, "max_duration", None)
    require(isinstance(most, (int, float)) and 0 < most < math.inf, "max_duration must be seconds above 0, not "
            f"{most!r}: set it to the longest audio the model makes")
    training = [name or "backbone" for name, module in model.backbone.named_modules() if module.training]
    require(not training, f"{len(training)} modules are in training mode ({', '.join(training[:2])}), where dropout "
            "makes every run another: call backbone.eval() in from_checkpoint")


@check("every site is there and makes as many attention calls as it declares",
       "Compare sites() with backbone.named_modules(): a site is the module whose forward makes the attention call.")
def sites(subject: Subject) -> None:
    model, tokens = subject.model, len(subject.generation().tokens)
    found = list(model.sites(tokens))
    require(bool(found), "sites() names no site: name the modules in which audio reads the prompt's tokens")
    require(any(site.role != "self" for site in found), "no site reads text: give the role cross, prefix or "
            "text-encoder")
    twice = {site.path for site in found if [s.path for s in found].count(site.path) > 1}
    require(not twice, f"sites() names {sorted(twice)[:2]} more than once: name each module once")
    pairs = [(site, lambda call: call.run()) for site in found]
    for what, run in (("replay", lambda: model.replay(subject.generation())), ("generate", subject.generate)):
        try:
            with intercept(model.backbone, pairs, model.conditional_rows), torch.no_grad():
                run()
        except PatchError as error:
            require(False, f"in {what}: {error}")


@check("a generation holds all that its explanation needs, in the right shapes", "Look at what _generate returns.")
def generation(subject: Subject) -> None:
    made, model = subject.generation(), subject.model
    audio = made.audio
    require(isinstance(audio, np.ndarray) and audio.dtype == np.float32 and audio.ndim in (1, 2), "audio must be "
            f"float32 [samples] or [channels, samples], not {getattr(audio, 'dtype', type(audio).__name__)} "
            f"{list(np.shape(audio))}")
    require(bool(np.isfinite(audio).all()), "audio holds NaN or infinity: raise NumericalError where the model makes "
            "them")
    require(made.tokens == model.tokenize(made.prompt), "generation.tokens are not tokenize(prompt): pass them on as "
            "given")
    require(made.seed == SEED and made.model == model.key, "seed and model of the generation must be the seed that was "
            "asked for and the adapter's key")
    _times(made)
    _positions(subject, made)
    try:
        kept = json.loads(json.dumps(dict(made.settings)))
    except (TypeError, ValueError) as error:
        require(False, f"generation.settings cannot be written as JSON ({error}): keep numbers, strings and lists")
    require(kept == dict(made.settings), "generation.settings change when they are written as JSON and read back")
    require({"duration", "guidance"} <= set(kept), "generation.settings must hold duration and guidance, with what "
            "else repeats the generation")


def _times(made: Generation) -> None:
    times, frames = made.times, len(made.positions)
    require(np.shape(times) == (frames + 1,), f"times must be the edges of the {frames} frames that positions has, "
            f"{frames + 1} of them, not {list(np.shape(times))}")
    require(bool((np.diff(times) > 0).all()) and times[0] >= 0, "times must ascend from 0: they are edges in seconds")
    longest = float(np.diff(times).max())
    require(abs(times[-1] - made.duration) <= longest + 1e-6, f"times end at {times[-1]:g} s and the audio at "
            f"{made.duration:g} s: give the edges in seconds of the audio that is returned")


def _positions(subject: Subject, made: Generation) -> None:
    positions = np.asarray(made.positions)
    require(positions.ndim == 2 and np.issubdtype(positions.dtype, np.integer) and positions.min() >= 0, "positions "
            f"must be whole numbers [frames, k], 0 or more, not {positions.dtype} {list(positions.shape)}")
    with torch.no_grad():
        states = subject.model.replay(made)
    steps = 1 if made.noise_levels is None else len(made.noise_levels)
    expected = (1, (int(positions.max()) + 1) * steps)
    require(states.ndim == 3 and tuple(states.shape[:2]) == expected, f"replay returns {list(states.shape)} and "
            f"positions call for [{expected[0]}, {expected[1]}, width]: one hidden state for each position that "
            "positions names")
    require(bool(torch.isfinite(states).all()), "replay gives NaN or infinity: check dtype and padding masks")


@check("the same seed makes the same audio, another seed another, and random states are left alone",
       "Seed with a torch.Generator, or inside of xattnmask.seeding.seeded.")
def seed(subject: Subject) -> None:
    made = subject.generation()
    _draw()  # or a seed that is set globally would be the one that is set already
    before = _random_states()
    again = subject.model.regenerate(made)
    require(np.array_equal(again.audio, made.audio), "the same seed and settings make other audio: seed whatever "
            "draws, and put all settings into generation.settings (xattnmask.seeding.seeded seeds torch)")
    require(_random_states() == before, "generate changes the random state of torch, numpy or Python: draw from a "
            "torch.Generator, or inside of xattnmask.seeding.seeded, which puts the states back")
    _draw()
    require(np.array_equal(subject.model.regenerate(made).audio, made.audio), "the audio depends on the global random "
            "state: seed it inside of generate (xattnmask.seeding.seeded)")
    other = subject.model.regenerate(made, seed=SEED + 1)
    require(not np.array_equal(other.audio, made.audio), "another seed makes the same audio: pass the seed on to "
            "whatever draws")


def _draw() -> None:
    """Move the global random states on."""
    torch.rand(3)
    random.random()
    np.random.random()


def _random_states() -> tuple[Any, ...]:
    drawn: Any = np.random.get_state()  # a tuple: kind, keys, place among them
    return random.getstate(), torch.get_rng_state().tolist(), drawn[1].tolist(), drawn[2]


@check("what is wrong is told by the errors of xattnmask", "Raise CheckpointError, PromptError and SettingError.")
def errors(subject: Subject) -> None:
    model = subject.model
    _raises(CheckpointError, OSError, "from_checkpoint of a folder that is not there",
            lambda: type(model).from_checkpoint("/no/such/folder/anywhere", device="cpu", dtype="float32"))
    _raises(SettingError, None, "an unknown setting of generate", lambda: subject.generate(no_such_setting=1))
    _raises(SettingError, None, "a duration above max_duration",
            lambda: model.generate(subject.fitted_prompt(), duration=model.max_duration * 2 + 1))
    _raises(PromptError, None, "an empty prompt", lambda: model.generate("  "))
    long = "dog " * (model.max_tokens + 1)
    require(len(model.tokenize(long)) > model.max_tokens, "tokenize cuts a prompt that is too long: never truncate, so "
            "that the core can refuse it (truncation=False)")
    _raises(PromptError, None, "a prompt that is too long", lambda: model.generate(long))


def _raises(wanted: type[Exception], also: type[Exception] | None, what: str, run: Any) -> None:
    allowed = (wanted,) if also is None else (wanted, also)
    try:
        run()
    except allowed as error:
        if isinstance(error, XattnmaskError):
            require("\n" not in str(error).strip(), f"{what}: the message has several lines; say it in one")
        return
    except Exception as error:
        require(False, f"{what} raises {type(error).__name__}: raise {wanted.__name__} with one line that says what to "
                "do")
    require(False, f"{what} is accepted: raise {wanted.__name__} with one line that says what to do")
