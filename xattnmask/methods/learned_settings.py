"""Settings of the learned mask, and the authors' values of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..errors import SettingError
from ..masks import Sampling, Temperature
from ..masks.parameters import KINDS, Kind
from ..masks.sampling import SAMPLINGS
from ..objective import OBJECTIVES, SIMILARITIES, Objective, Similarity
from ..patching import RULES, Layers, Rule
from ..replaying import CONTEXTS, DEPTHS, Context, Depth, View, check_choice
from .settings import check_choices, check_range, check_whole, settings_of
from .target_size import TargetSize, check_target_size

Start = Literal["leave-one-out", "atman"]
STARTS: Sequence[Start] = ("leave-one-out", "atman")


@dataclass(frozen=True)
class LearnedSettings(View):
    """Settings of the learned mask; the defaults are what the foley benchmark shows is best.

    Attributes:
        steps: optimisation steps, one forward and one backward each.
        lr: learning rate of Adam; where none is given, 0.05 for logits that start from what each word does, 1 for
            logits that start from one value, and 0.01 for the weights of a network.
        weight_decay: decay of Adam, as the authors use it.
        context: history each position sees, ``none``, ``frozen``, ``joint`` or ``isolated`` (see Replayer); by default
            ``frozen`` where the model can, else ``joint``.
        target: what the masked states are compared with: those of the model with its ``history``, as the authors do,
            or those of the ``same`` context without a mask.
        depth: ``cross``, as the paper has it, or ``encoder`` to mask the text encoder as well: the default where the
            adapter names its sites.
        objective: ``both``, ``factual`` or ``counterfactual``.
        similarity: how states are compared, ``cosine`` (the paper; the default for autoregressive models) or ``error``
            for squared errors relative to what all tokens together change (the default for diffusion models).
        alpha, beta: weights of the mask's L1 and L2 norms.
        target_size: the mean that the mask is to have, above 0 and below 1: alpha is then not given, but begins at 0
            and is adapted at each step. ``auto`` takes the share of cells in which the token's word has by itself a
            hundredth of the largest effect, which needs no tuning. By default alpha is constant.
        parameters: ``logits``, ``mlp`` or ``mlp-history``.
        per_step: of a diffusion model, a mask for each denoising step, or one that all steps share (``logits`` only).
        start: first value of every logit (``logits`` only), or ``leave-one-out`` or ``atman`` to start from what each
            word does by itself, left out or suppressed: one forward more, with a row for each word. Steps from one
            value find the words too, and rank the frames worse; from there, few and short steps keep what it found.
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
    start: float | Start = "leave-one-out"
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
        if isinstance(self.start, str):
            check_choice("start", self.start, STARTS)
        else:
            check_range("start", self.start, -float("inf"))
        check_target_size(self.target_size)
        for name in ("weight_decay", "alpha", "beta", "tolerance"):
            check_range(name, getattr(self, name), 0)
        check_choices(self, _CHOICES)
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

LOGITS_LR, WARM_LR, NETWORK_LR = 1.0, 0.05, 1e-2
"""Of logits from one value; from what each word does; and of a network, whose output saturates where logits do not."""

PAPER = {
    "steps": 50, "lr": 1e-3, "weight_decay": 1e-3, "context": "isolated", "target": "history", "depth": "cross",
    "objective": "both", "alpha": 1e-3, "beta": 0.1, "parameters": "mlp", "start": 0.0, "sampling": "soft",
    "temperature": 1.0,
    "rule": "scale", "layers": "all", "tolerance": 0.0, "batched": False,
}  # fmt: skip
"""The authors' procedure (their code for AudioGenX): one MLP a position, 50 epochs of two forwards, no stopping."""


def learned_settings(given: Mapping[str, Any]) -> LearnedSettings:
    """What is in force when a user gives these; raises SettingError for what does not exist or go together."""
    preset = PAPER if given.get("preset") == "paper" else {}
    fixed = "preset 'paper' fixes" if preset else "is given" if "alpha" in given else ""
    if given.get("target_size") is not None and fixed:
        raise SettingError(f"target_size adapts alpha, which {fixed}: leave one of them out")
    chosen = settings_of(LearnedSettings, "learned", {**preset, **given})
    if chosen.lr is not None:
        return chosen
    logits = WARM_LR if isinstance(chosen.start, str) else LOGITS_LR
    return replace(chosen, lr=logits if chosen.parameters == "logits" else NETWORK_LR)
