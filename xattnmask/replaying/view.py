"""Which replay a model gets: the settings that all methods share, and what they mean for each kind of model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..adapter import Adapter
from ..diffusion import DiffusionAdapter, Representation, num_steps
from ..errors import SettingError
from ..generation import Generation
from ..patching import Layers, Rule
from .common import Context, Depth, default_depth, default_text_stretches, has_history
from .denoising import StepReplayer
from .grid import Grid, choose_steps
from .sequence import Replayer

_VIEW = ("denoising_steps", "window", "bins", "text_stretches", "representation", "streams", "rows")
DENOISING_STEPS, BINS, ROWS = 10, 25, 20
"""Defaults for diffusion models."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What is replayed of a diffusion model's generation; all None for an autoregressive one, which has no such choice.

    Attributes:
        denoising_steps: how many denoising steps are explained, evenly spaced; 10 by default, or all of fewer.
        window: the part of the denoising they are taken from, as shares of the way from noise to audio; all of it by
            default. (0, 0.5) are the early steps.
        bins: how many stretches of equal length the audio is cut into, each with a mask of its own; 25 by default, or
            the latents' columns if they are fewer. 1 for a mask by step alone.
        text_stretches: into how many stretches the audio is cut for which the text is encoded apart, as in
            :func:`xattnmask.patch`; by default as :func:`xattnmask.replaying.default_text_stretches` has it.
        representation: what predictions are compared as: ``noise``, ``x0``, ``v`` (the default) or ``guidance``.
        streams: names of the text streams that are masked; all by default.
        rows: the most rows that one forward of the denoiser gets; 20 by default, both masks of 10 steps.
    """

    denoising_steps: int | None = None
    window: Sequence[float] | None = None
    bins: int | None = None
    text_stretches: int | None = None
    representation: Representation | None = None
    streams: Sequence[str] | None = None
    rows: int | None = None


def build_replayer(
    model: Adapter, generation: Generation, view: View, *, context: Context | None = None, depth: Depth | None = None,
    rule: Rule = "scale", layers: Layers = "all", heads: Sequence[int] | None = None,
) -> Replayer | StepReplayer:  # fmt: skip
    """The replay of ``generation``.

    Args:
        view: what of a diffusion model's generation.
        context: what an autoregressive model sees of its past; by default ``frozen``, or ``joint`` where the past
            cannot be told from the text. A diffusion model has ``joint`` alone.
        depth: as in the replayers; by default that of :func:`default_depth`.
        rule, layers, heads: as in the replayers.

    Raises:
        SettingError: a setting is out of range, or is not for this kind of model.
    """
    if depth is None:  # positions by themselves are replayed as the authors do, who mask cross-attention
        depth = "cross" if context == "isolated" else default_depth(model, len(generation.tokens))
    shared: dict[str, Any] = {"depth": depth, "rule": rule, "layers": layers, "heads": heads}
    if isinstance(model, DiffusionAdapter):
        if context not in (None, "joint"):
            raise SettingError(f"context {context!r} is for autoregressive models; {model.key!r} is a diffusion model")
        return StepReplayer(
            model, generation, grid_of(generation, view), representation=view.representation or "v",
            text_stretches=default_text_stretches(model, depth) if view.text_stretches is None else view.text_stretches,
            streams=view.streams, rows=view.rows or ROWS, **shared,
        )  # fmt: skip
    for name in _VIEW:
        if getattr(view, name) is not None:
            raise SettingError(f"{name} is for diffusion models; {model.key!r} is autoregressive")
    if context is None:
        context = "frozen" if has_history(model, len(generation.tokens)) else "joint"
    return Replayer(model, generation, context=context, **shared)


def in_force(settings: View, replayer: Replayer | StepReplayer) -> dict[str, Any]:
    """Settings of a method as they were used, JSON-able: without those that are not for this kind of model."""
    given = asdict(settings)
    own = {name: value for name, value in given.items() if name not in _VIEW}
    if "depth" in own:
        own["depth"] = own["depth"] or replayer.depth
    if isinstance(replayer, Replayer):
        return own
    used = {"denoising_steps": len(replayer.grid.steps), "bins": replayer.grid.bins, "rows": replayer.rows,
            "text_stretches": replayer.text_stretches, "representation": replayer.representation}
    return {**own, **{name: given[name] for name in ("window", "streams")}, **used}


def grid_of(generation: Generation, view: View) -> Grid:
    """The cells that are explained of a diffusion model's generation; raises SettingError for what it does not have."""
    columns = len(generation.positions)
    bins = min(BINS, columns) if view.bins is None else view.bins
    for name, value, most in (("bins", bins, columns), ("denoising_steps", view.denoising_steps, None),
                              ("rows", view.rows, None)):
        if value is not None and (value < 1 or value != int(value) or (most is not None and value > most)):
            limit = "" if most is None else f" and at most {most}, the latents' columns"
            raise SettingError(f"{name} must be a whole number, at least 1{limit}, not {value!r}")
    window = (0.0, 1.0) if view.window is None else tuple(view.window)
    if len(window) != 2:
        raise SettingError(f"window must be two shares from 0 to 1, not {view.window!r}")
    count = DENOISING_STEPS if view.denoising_steps is None else view.denoising_steps
    return Grid(choose_steps(num_steps(generation), count, (window[0], window[1])), int(bins), columns)
