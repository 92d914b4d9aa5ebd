"""What a good mask is: the paper's losses on final hidden states, and its regularisers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

Objective = Literal["both", "factual", "counterfactual"]
OBJECTIVES = ("both", "factual", "counterfactual")


@dataclass(frozen=True)
class Terms:
    """The parts of a loss; ``factual`` and ``counterfactual`` [positions], the others scalars."""

    factual: Tensor | None
    counterfactual: Tensor | None
    penalty: Tensor
    size: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised: summed over positions, as the authors do."""
        parts = [part.sum() for part in (self.factual, self.counterfactual) if part is not None]
        return torch.stack([*parts, self.penalty]).sum()

    def values(self) -> dict[str, float]:
        """The terms as numbers, means over positions: ``total``, ``factual``, ``counterfactual``, ``size``."""
        named = {"factual": self.factual, "counterfactual": self.counterfactual}
        values = {name: part.mean().item() for name, part in named.items() if part is not None}
        return {"total": self.total.item(), **values, "size": self.size.item()}


def batch_masks(mask: Tensor, objective: Objective) -> Tensor:
    """The masks that one forward needs, [1 or 2, positions, tokens]: M for factual, then 1 - M for counterfactual."""
    wanted = {"both": (mask, 1 - mask), "factual": (mask,), "counterfactual": (1 - mask,)}
    return torch.stack(wanted[objective])


def terms(hidden: Tensor, target: Tensor, probabilities: Tensor, objective: Objective, *, alpha: float,
          beta: float) -> Terms:
    """The paper's loss (arXiv 2502.00459, as the authors' code computes it).

    Args:
        hidden: final hidden states [1 or 2, positions, width] under the masks of :func:`batch_masks`.
        target: those of the unmasked model [positions, width].
        probabilities: the mask before sampling [positions, tokens].
        objective: which of the two parts count.
        alpha: weight of the sum of the probabilities (L1).
        beta: weight of the root of the sum of their squares (L2).

    Returns:
        factual 1 - cos(h, h_F), counterfactual cos(h, h_CF), each by position, and the penalty.
    """
    similar = cosine_similarity(hidden.float(), target.float(), dim=-1)
    factual = None if objective == "counterfactual" else 1 - similar[0]
    counterfactual = None if objective == "factual" else similar[-1]
    penalty = alpha * probabilities.sum() + beta * torch.linalg.vector_norm(probabilities)
    return Terms(factual, counterfactual, penalty, probabilities.mean())
