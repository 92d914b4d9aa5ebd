"""The learned mask: soft masks over text tokens, optimised so that M keeps the sound and 1 - M loses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ..adapter import Adapter
from ..errors import NumericalError, SettingError
from ..events import StepEvent
from ..generation import Generation
from ..masks import MaskParameters, Sampling, Temperature, build_parameters, probabilities, sample
from ..masks.parameters import KINDS, Kind
from ..masks.sampling import SAMPLINGS
from ..objective import OBJECTIVES, SIMILARITIES, Objective, Similarity, Terms, batch_masks, distances, penalty, terms
from ..patching import RULES, Layers, Rule
from ..plugins.hookspecs import hookimpl
from ..replaying import CONTEXTS, DEPTHS, Context, Depth, View, build_replayer, check_choice, frozen_weights, in_force
from .base import Attribution, Method, OnStep
from .leave_one_out import effects, groups_of
from .settings import check_range, check_whole, settings_of
from .start import at_size, from_effects
from .target_size import NOTICED, AdaptiveAlpha, TargetSize, check_target_size, share_above


@dataclass(frozen=True)
class LearnedSettings(View):
    """Settings of the learned mask; the defaults are what the foley benchmark shows is best.

    Attributes:
        steps: optimisation steps, one forward and one backward each.
        lr: learning rate of Adam; where none is given, 0.05 for logits that start from leave-one-out, 1 for logits that
            start from one value, and 0.01 for the weights of a network.
        weight_decay: decay of Adam, as the authors use it.
        context: history each position sees, ``none``, ``frozen``, ``joint`` or ``isolated`` (see Replayer); by default
            ``frozen`` where the model can, else ``joint``.
        target: what the masked states are compared with: those of the model with its ``history``, as the authors do,
            or those of the ``same`` context without a mask.
        depth: ``cross``, or ``encoder`` to mask the text encoder as well; by default ``cross`` for autoregressive
            models, as the paper has it, and ``encoder`` for diffusion models.
        objective: ``both``, ``factual`` or ``counterfactual``.
        similarity: how states are compared, ``cosine`` (the paper; the default for autoregressive models) or ``error``
            for squared errors relative to what all tokens together change (the default for diffusion models).
        alpha, beta: weights of the mask's L1 and L2 norms.
        target_size: the mean that the mask is to have, above 0 and below 1: alpha is then not given, but begins at 0
            and is adapted at each step. ``auto`` takes the share of cells in which the token's word has by itself a
            hundredth of the largest effect, which needs no tuning. By default alpha is constant.
        parameters: ``logits``, ``mlp`` or ``mlp-history``.
        per_step: of a diffusion model, a mask for each denoising step, or one that all steps share (``logits`` only).
        start: first value of every logit (``logits`` only), or ``leave-one-out`` to start from what each word does by
            itself: one forward more, with a row for each word. Steps from one value find the words too, and rank the
            frames worse; from leave-one-out, few and short steps keep what it found.
        sampling: ``none``, ``soft`` or ``hard``.
        temperature, temperature_end: of the sigmoid or Gumbel-softmax, at the first and at the last step; between
            them geometric, and constant where no end is given.
        rule, layers, heads: as in :func:`xattnmask.patch`.
        tolerance, patience: stop when the loss has not fallen by ``tolerance`` a position for ``patience`` steps;
            a tolerance of 0 never stops.
        batched: factual and counterfactual in one forward, or in two, as the authors' code does.
        preset: ``paper`` puts the authors' values in place of the defaults.
    """

    steps: int = 3
    lr: float | None = None
    weight_decay: float = 0.0
    context: Context | None = None
    target: Literal["history", "same"] = "history"
    depth: Depth | None = None
    objective: Objective = "both"
    similarity: Similarity | None = None
    alpha: float = 1e-3
    beta: float = 0.1
    target_size: TargetSize | None = None
    parameters: Kind = "logits"
    per_step: bool = True
    start: float | Literal["leave-one-out"] = "leave-one-out"
    sampling: Sampling = "none"
    temperature: float = 1.0
    temperature_end: float | None = None
    rule: Rule = "scale"
    layers: Layers = "all"
    heads: Sequence[int] | None = None
    tolerance: float = 1e-4
    patience: int = 5
    batched: bool = True
    preset: Literal["default", "paper"] = "default"

    def __post_init__(self) -> None:
        check_whole("steps", self.steps, 1, 100_000)
        check_whole("patience", self.patience, 1)
        if self.lr is not None:
            check_range("lr", self.lr, 1e-9)
        if self.start != LEAVE_ONE_OUT:
            check_range("start", self.start, -float("inf"))  # type: ignore[arg-type]
        check_target_size(self.target_size)
        for name in ("weight_decay", "alpha", "beta", "tolerance"):
            check_range(name, getattr(self, name), 0)
        for name, choices in _CHOICES.items():
            if getattr(self, name) is not None:
                check_choice(name, getattr(self, name), choices)
        self.schedule  # noqa: B018 (its own check)

    @property
    def schedule(self) -> Temperature:
        """The temperature over the steps."""
        return Temperature(self.temperature, self.temperature if self.temperature_end is None else self.temperature_end)


_CHOICES: Mapping[str, Sequence[str]] = {
    "context": CONTEXTS,
    "target": ("history", "same"),
    "depth": DEPTHS,
    "objective": OBJECTIVES,
    "similarity": SIMILARITIES,
    "parameters": KINDS,
    "sampling": SAMPLINGS,
    "rule": RULES,
    "preset": ("default", "paper"),
}

LEAVE_ONE_OUT = "leave-one-out"
LOGITS_LR, WARM_LR, NETWORK_LR = 1.0, 0.05, 1e-2
"""Of logits from one value; from leave-one-out; and of a network, whose output saturates where logits do not."""

PAPER = {
    "steps": 50, "lr": 1e-3, "weight_decay": 1e-3, "context": "isolated", "target": "history", "depth": "cross",
    "objective": "both", "alpha": 1e-3, "beta": 0.1, "parameters": "mlp", "start": 0.0, "sampling": "soft",
    "temperature": 1.0,
    "rule": "scale", "layers": "all", "tolerance": 0.0, "batched": False,
}  # fmt: skip
"""The authors' procedure (their code for AudioGenX): one MLP a position, 50 epochs of two forwards, no stopping."""


class LearnedMask(Method):
    """Learns one soft mask over the tokens for each position (arXiv 2502.00459)."""

    name: ClassVar[str] = "learned"

    def steps(self, **settings: Any) -> int:
        return _settings(settings).steps

    def attribute(self, model: Adapter, generation: Generation, *, seed: int, on_step: OnStep,
                  **settings: Any) -> Attribution:
        chosen = _settings(settings)
        losses: dict[str, list[float]] = {}
        with torch.inference_mode(False), frozen_weights(model):
            run = _Optimisation(model, generation, chosen, seed)
            for step in range(chosen.steps):
                values = run.step(step)
                for name, value in values.items():
                    losses.setdefault(name, []).append(value)
                on_step(StepEvent(step, chosen.steps, values))
                if run.settled(losses):
                    break
            importance = run.importance(step)
        # from leave-one-out it goes a few steps and not until it settles, so there is nothing to say
        converged = None if chosen.start == LEAVE_ONE_OUT else run.converged(losses)
        return Attribution(importance, in_force(run.settings, run.replayer), losses, converged, run.replayer.grid)


@dataclass
class _Optimisation:
    """The state of one optimisation."""

    model: Adapter
    generation: Generation
    settings: LearnedSettings
    seed: int
    parameters: MaskParameters = field(init=False)

    def __post_init__(self) -> None:
        s = self.settings
        self.replayer = build_replayer(self.model, self.generation, s, context=s.context, depth=s.depth, rule=s.rule,
                                       layers=s.layers, heads=s.heads)
        self.settings = s = replace(
            s, context=self.replayer.context, similarity=s.similarity or self.replayer.similarity
        )
        self.target = self.replayer.clean(history=s.target == "history" or s.context != "none")
        self.blank = self.replayer.blank() if s.similarity == "error" else None
        self.positions = len(self.target)
        self.copies = self._copies()
        self.adaptive = None if s.target_size is None else self._adaptive(s.target_size)
        self.parameters = build_parameters(s.parameters, self.model, self.generation, self.positions // self.copies,
                                           seed=self.seed, start=self._start())
        assert s.lr is not None
        self.optimizer = torch.optim.Adam(self.parameters.parameters(), lr=s.lr, weight_decay=s.weight_decay)
        self.generator = torch.Generator().manual_seed(self.seed)

    def step(self, index: int) -> dict[str, float]:
        """One step of the optimiser; returns the loss and its parts as numbers.

        ``total`` is the sum that is minimised, ``factual``, ``counterfactual`` and ``size`` are means; with a target
        size also ``alpha``, that of this step.
        """
        self.optimizer.zero_grad()
        sums: dict[str, float] = {}
        alpha = self.settings.alpha if self.adaptive is None else self.adaptive.alpha
        for number, part in enumerate(self.replayer.parts):
            with torch.enable_grad():
                logits = self._logits(index)
                found = self._terms(index, logits[part], part)
                loss = found.total
                if number == 0:  # it is on the whole mask, so once is enough
                    likely = probabilities(logits, self.settings.sampling, self._temperature(index))
                    price = penalty(likely, alpha=alpha, beta=self.settings.beta)
                    loss = loss + price
                _check_finite(loss, "loss", index)
                torch.autograd.backward(loss)
            for name, value in found.sums().items():
                sums[name] = sums.get(name, 0.0) + value
        self.optimizer.step()
        means, size = {name: value / self.positions for name, value in sums.items()}, likely.mean().item()
        values = {"total": sum(sums.values()) + price.item(), **means, "size": size}
        if self.adaptive is None:
            return values
        self.adaptive.update(size)
        return {**values, "alpha": alpha}

    def settled(self, losses: Mapping[str, Sequence[float]]) -> bool:
        """Whether there is nothing more to gain; where alpha is adapted, at the target, and without the penalties."""
        if self.adaptive is None:
            return _settled(losses["total"], self.settings, self.positions)
        parts = zip(*(losses[name] for name in ("factual", "counterfactual") if name in losses), strict=True)
        found = [self.positions * sum(values) for values in parts]
        return _settled(found[len(found) - self.adaptive.reached(losses["size"]) :], self.settings, self.positions)

    def converged(self, losses: Mapping[str, Sequence[float]]) -> bool:
        """Whether the loss has levelled off, or the mask has been at its target for more than ``patience`` steps."""
        if self.adaptive is None:
            return _levelled_off(losses["total"], self.positions)
        return self.adaptive.reached(losses["size"]) > self.settings.patience

    def _adaptive(self, target: TargetSize) -> AdaptiveAlpha:
        size = share_above(self._effects, NOTICED) if isinstance(target, str) else target
        self.settings = replace(self.settings, target_size=size, alpha=AdaptiveAlpha.alpha)
        blank = self.replayer.blank() if self.blank is None else self.blank
        lost = distances(blank[None], self.target, self.blank).mean().item()
        return AdaptiveAlpha(size, max(lost, 1e-6) / self.replayer.num_tokens)

    def _copies(self) -> int:
        """How many times the learned rows stand in the mask: once, or once for each denoising step that shares them."""
        if self.settings.per_step:
            return 1
        if self.replayer.grid is None or self.settings.parameters != "logits":
            raise SettingError("per_step=False is for the logits of diffusion models: leave it out")
        return len(self.replayer.grid.steps)

    def _start(self) -> float | Tensor:
        """The first logits."""
        s = self.settings
        if not isinstance(s.start, str):
            return s.start
        if s.parameters != "logits":
            return 0.0
        assert s.similarity is not None
        steps = 1 if self.replayer.grid is None else len(self.replayer.grid.steps)
        moved = None if self.blank is None else torch.linalg.vector_norm((self.target - self.blank).float(), dim=1)
        found = from_effects(self._effects, s.similarity, steps, moved)
        found = found if self.adaptive is None else at_size(found, self.adaptive.target)
        return found.repeat(steps // self.copies, 1)

    @cached_property
    def _effects(self) -> Tensor:
        """What each token's word does by itself, [positions, tokens].

        The past follows (context ``joint``): what a word did before counts where it still sounds.
        """
        s = self.settings
        replayer = build_replayer(self.model, self.generation, s, context="joint", depth=s.depth, rule=s.rule,
                                  layers=s.layers, heads=s.heads)
        return effects(replayer, replayer.clean(), self.blank, groups_of(self.generation, "word"))

    @torch.no_grad()
    def importance(self, index: int) -> np.ndarray:
        """The mask after step ``index``, without noise, float32 [positions, tokens]."""
        likely = probabilities(self._learned(index), self.settings.sampling, self._temperature(index))
        found: np.ndarray = likely.repeat(self.copies, 1).cpu().numpy()
        return found

    def _logits(self, index: int) -> Tensor:
        """Those of all positions."""
        return self._learned(index).repeat(self.copies, 1)

    def _learned(self, index: int) -> Tensor:
        logits: Tensor = self.parameters()
        _check_finite(logits, "mask", index)
        return logits

    def _terms(self, index: int, logits: Tensor, part: slice) -> Terms:
        """The losses of the positions of ``part``, whose logits are given."""
        s = self.settings
        masks = batch_masks(sample(logits, s.sampling, self._temperature(index), self.generator), s.objective)
        run = partial(self.replayer.masked, part=part)
        hidden = run(masks) if s.batched else torch.cat([run(mask[None]) for mask in masks])
        return terms(hidden, self.target[part], s.objective, None if self.blank is None else self.blank[part])

    def _temperature(self, index: int) -> float:
        return self.settings.schedule.at(index, self.settings.steps)


def _settings(given: Mapping[str, Any]) -> LearnedSettings:
    preset = PAPER if given.get("preset") == "paper" else {}
    fixed = "preset 'paper' fixes" if preset else "is given" if "alpha" in given else ""
    if given.get("target_size") is not None and fixed:
        raise SettingError(f"target_size adapts alpha, which {fixed}: leave one of them out")
    chosen = settings_of(LearnedSettings, LearnedMask.name, {**preset, **given})
    if chosen.lr is not None:
        return chosen
    logits = WARM_LR if chosen.start == LEAVE_ONE_OUT else LOGITS_LR
    return replace(chosen, lr=logits if chosen.parameters == "logits" else NETWORK_LR)


def _settled(total: Sequence[float], settings: LearnedSettings, positions: int) -> bool:
    """Whether the loss has stopped falling: the last ``patience`` steps are not better than the best before them."""
    if settings.tolerance == 0 or len(total) <= settings.patience:
        return False
    before, lately = min(total[: -settings.patience]), min(total[-settings.patience :])
    return before - lately < settings.tolerance * positions


def _levelled_off(total: Sequence[float], positions: int) -> bool:
    """What ``converged`` means: the best loss of the last fifth of the steps is no longer far from the best before.

    Not far is 5 % of the whole fall (a steady fall makes 20 % in that time), or .0001 a position where that is more.
    """
    tail = max(1, len(total) // 5)
    if len(total) <= tail:
        return False
    before, lately = min(total[:-tail]), min(total[-tail:])
    return abs(before - lately) < max(0.05 * (total[0] - lately), 1e-4 * positions)


def _check_finite(values: Tensor, what: str, step: int) -> None:
    if not torch.isfinite(values).all():
        raise NumericalError(f"the {what} is not finite at step {step}: try dtype float32 or a smaller lr")


@hookimpl
def xattnmask_method() -> Method:
    """The learned mask."""
    return LearnedMask()
