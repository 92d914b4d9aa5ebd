"""The optimisation of a learned mask: its start, its steps, and when it has settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from ..adapter import Adapter
from ..errors import NumericalError, SettingError
from ..generation import Generation
from ..masks import MaskParameters, build_parameters, probabilities, sample
from ..objective import Terms, batch_masks, distances, penalty, terms
from ..patching import Rule
from ..replaying import build_replayer
from .atman import AtManSettings
from .learned_settings import LearnedSettings
from .one_by_one import effects, groups_of, without
from .start import at_size, from_effects
from .target_size import NOTICED, AdaptiveAlpha, TargetSize, share_above


@dataclass
class Optimisation:
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
        s, factor = self.settings, 0.0
        rule: Rule = s.rule
        if s.start == "atman":
            rule, factor = AtManSettings.rule, AtManSettings.factor
        replayer = build_replayer(self.model, self.generation, s, context="joint", depth=s.depth, rule=rule,
                                  layers=s.layers, heads=s.heads)
        groups, target = groups_of(self.generation, "word"), replayer.clean()
        masks = without(groups, replayer.num_tokens, factor).to(target.device)
        return effects(replayer, target, self.blank, groups, masks)

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
