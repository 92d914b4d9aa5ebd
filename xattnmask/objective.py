"""What a good mask is: the paper's losses on the model's states, one in squared errors, and the regularisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

Similarity = Literal["cosine", "error"]
SIMILARITIES = ("cosine", "error")
Objective = Literal["both", "factual", "counterfactual"]
OBJECTIVES = ("both", "factual", "counterfactual")


@dataclass(frozen=True)
class Terms:
    """The parts of a loss that tell how good a mask is, each [positions]."""

    factual: Tensor | None
    counterfactual: Tensor | None

    @property
    def total(self) -> Tensor:
        """Their sum over positions, as the authors take it."""
        return torch.stack([part.sum() for part in (self.factual, self.counterfactual) if part is not None]).sum()

    def sums(self) -> dict[str, float]:
        """Each part summed over positions, as numbers."""
        named = {"factual": self.factual, "counterfactual": self.counterfactual}
        return {name: part.sum().item() for name, part in named.items() if part is not None}


def batch_masks(mask: Tensor, objective: Objective) -> Tensor:
    """The masks that one forward needs, [1 or 2, positions, tokens]: M for factual, then 1 - M for counterfactual."""
    wanted = {"both": (mask, 1 - mask), "factual": (mask,), "counterfactual": (1 - mask,)}
    return torch.stack(wanted[objective])


def terms(hidden: Tensor, target: Tensor, objective: Objective, blank: Tensor | None = None) -> Terms:
    """How well masks keep the states and how well they take them away.

    Args:
        hidden: states [1 or 2, positions, width] under the masks of :func:`batch_masks`.
        target: those of the unmasked model [positions, width].
        objective: which of the two parts count.
        blank: those of the model that reads no token [positions, width], for the second form.

    Returns:
        By position, in the paper's form (arXiv 2502.00459, as the authors' code computes it)

            factual 1 - cos(h, h_F)         counterfactual cos(h, h_CF)

        or, with ``blank`` h_0, in squared errors relative to what all tokens together change

            factual |h - h_F|^2 / |h - h_0|^2         counterfactual 1 - min(1, |h - h_CF|^2 / |h - h_0|^2)
    """
    far = distances(hidden, target, blank)
    factual = None if objective == "counterfactual" else far[0]
    counterfactual = None if objective == "factual" else 1 - far[-1]
    if blank is not None and counterfactual is not None:
        counterfactual = counterfactual.clamp_min(0)
    return Terms(factual, counterfactual)


def penalty(probabilities: Tensor, *, alpha: float, beta: float) -> Tensor:
    """alpha times the sum of the mask before sampling (L1), and beta times the root of the sum of its squares (L2)."""
    price: Tensor = alpha * probabilities.sum() + beta * torch.linalg.vector_norm(probabilities)
    return price


def distances(hidden: Tensor, target: Tensor, blank: Tensor | None = None) -> Tensor:
    """How far each state is from the target, [batch, positions], as in :func:`terms`: 1 - cos, or relative error."""
    if blank is not None:
        return _relative_errors(hidden, target, blank)
    # 1 - cos as half the squared chord: subtracted from 1, angles below a thousandth would drown in float32's rounding
    chord = normalize(hidden.float(), dim=-1) - normalize(target.float(), dim=-1)
    return 0.5 * chord.square().sum(-1)


def advance(hidden: Tensor, target: Tensor, blank: Tensor) -> Tensor:
    """How far each state has gone in the direction in which the text moves it, [batch, positions].

    With h the target, h_0 the state of the model that reads no token (``blank``) and u the direction of h - h_0,
    <h_M - h_0, u> / |h|: 0 for h_0 and |h - h_0| / |h| for h. Unlike a distance from h it has a gradient at h.
    """
    hidden, target, blank = hidden.float(), target.float(), blank.float()
    direction = normalize(target - blank, dim=-1)
    length = target.norm(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
    return ((hidden - blank) * direction).sum(-1).div(length)


def _relative_errors(hidden: Tensor, target: Tensor, blank: Tensor) -> Tensor:
    """[batch, positions]; where no token moves a state by .3 % of its length, that divides: it may be rounding."""
    hidden, target = hidden.float(), target.float()
    far = (hidden - target).square().sum(-1)
    moved = (target - blank.float()).square().sum(-1)
    least = 1e-5 * target.square().sum(-1) + torch.finfo(torch.float32).tiny
    return far.div(torch.maximum(moved, least))
