"""The masked model as a plain function of a mask: what Captum, SHAP and any other perturbation method asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..adapter import Adapter
from ..errors import SettingError
from ..generation import Generation
from ..objective import advance, distances
from ..patching import Layers, Rule
from ..replaying import Context, Depth, Replayer, StepReplayer, View, build_replayer, check_choice
from .one_by_one import BY, By
from .settings import check_whole, settings_of

Score = Literal["cosine", "error", "advance"]
SCORES = ("cosine", "error", "advance")
Output = Literal["positions", "mean"]


class MaskedForward:
    """From masks over words or tokens to scores of the masked model; made by :func:`masked_forward`.

    Attributes:
        names: what each column of a mask is, the text of a word or token.
        groups: the tokens of each column. A token of no column always stays; one of several is at their product.
        positions: how many scores there are to a mask where there is one for each.
    """

    def __init__(self, replayer: Replayer | StepReplayer, *, by: By, score: Score, output: Output, batch: int):
        check_choice("by", by, BY)
        check_choice("score", score, SCORES)
        check_choice("output", output, ("positions", "mean"))
        check_whole("batch", batch, 1)
        self.replayer, self.score, self.output, self.batch = replayer, score, output, batch
        self.names, self.groups = _columns(replayer.generation, by)
        self.positions = replayer.positions
        self._target = replayer.clean(history=replayer.context != "none")
        self._blank = None if score == "cosine" else replayer.blank()
        self._member = _membership(self.groups, replayer.num_tokens).to(self._target.device)

    def __call__(self, masks: Any) -> Any:
        """Scores [batch, positions], or [batch, 1] where their mean was asked for.

        Args:
            masks: in [0, 1], [batch, columns], or [batch, positions, columns] for a mask of its own at each position.
                A tensor keeps its graph, and the scores are one; for a numpy array the scores are one too.

        Raises:
            SettingError: a mask has a wrong shape, or leaves [0, 1].
        """
        if isinstance(masks, Tensor):
            return self.scores(masks)
        with torch.no_grad():
            scores: np.ndarray = self.scores(torch.as_tensor(np.asarray(masks))).cpu().numpy()
            return scores

    @property
    def device(self) -> torch.device:
        """Where the scores are computed."""
        return self._target.device

    def scores(self, masks: Tensor, part: slice = slice(None)) -> Tensor:
        """As the call, for tensors; with ``part`` for these positions alone, of which a mask then holds the rows.

        A part is one of the replayer's ``parts``.
        """
        if masks.ndim not in (2, 3) or masks.shape[-1] != len(self.groups) or not len(masks):
            wanted = f"[batch, {len(self.groups)}] or [batch, positions, {len(self.groups)}]"
            raise SettingError(f"a mask is {wanted} ({', '.join(self.names)}), not {list(masks.shape)}")
        masks = self._by_token(masks.to(self.device, torch.promote_types(self._target.dtype, torch.float32)))
        found = torch.cat([self._score(chunk, part) for chunk in torch.split(masks, self.batch)])
        return found if self.output == "positions" else found.mean(1, keepdim=True)

    def by_token(self, values: Tensor) -> Tensor:
        """Values by column, [..., columns], by token, [..., tokens]: the largest of a token's columns; 0 without."""
        spread = torch.where(self._member, values[..., :, None], -torch.inf).amax(-2)
        return torch.where(self._member.any(0), spread, 0.0)

    def _score(self, masks: Tensor, part: slice) -> Tensor:
        hidden = self.replayer.masked(masks, part)
        target, blank = self._target[part], None if self._blank is None else self._blank[part]
        if self.score == "advance":
            assert blank is not None
            return advance(hidden, target, blank)
        return 1 - distances(hidden, target, blank)

    def _by_token(self, masks: Tensor) -> Tensor:
        return torch.where(self._member, masks[..., :, None], masks.new_ones(())).prod(-2)


def masked_forward(
    model: Adapter, generation: Generation, *, by: By = "word", score: Score | None = None,
    output: Output = "positions", context: Context | None = None, depth: Depth | None = None, rule: Rule = "scale",
    layers: Layers = "all", heads: Sequence[int] | None = None, batch: int = 8, **view: Any,
) -> MaskedForward:  # fmt: skip
    """``model``, replaying ``generation`` under masks, as a function from masks to scores.

    Args:
        model: the adapter that made ``generation``.
        by: a mask's columns: one for each ``word`` of the prompt, in the order of ``generation.words``, or for each
            ``token``.
        score: how well a masked state holds on to the unmasked one. ``cosine`` of the two; ``error``, 1 less the
            squared error relative to that of the model that reads no token; ``advance``, see
            :func:`xattnmask.objective.advance`. By default ``cosine`` for autoregressive models, ``error`` for
            diffusion models. All are highest without a mask.
        output: one score for each of the ``positions`` (of a diffusion model, cells: denoising steps times stretches),
            or their ``mean``.
        context: as in the learned mask; ``joint`` by default, where masks change the past as they do in generating.
        depth, rule, layers, heads: as in the learned mask.
        batch: the most masks that go through the model at once.
        view: for a diffusion model, ``denoising_steps``, ``window``, ``bins``, ``representation``, ``streams`` and
            ``rows``.

    Raises:
        SettingError: a setting is unknown, out of range, or not for this kind of model.
    """
    replayer = build_replayer(model, generation, settings_of(View, "masked_forward", view),
                              context=context or "joint", depth=depth, rule=rule, layers=layers, heads=heads)
    return MaskedForward(replayer, by=by, score=score or replayer.similarity, output=output, batch=batch)


def _columns(generation: Generation, by: By) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    if by == "token":
        return tuple(token.text for token in generation.tokens), tuple((i,) for i in range(len(generation.tokens)))
    return tuple(word.text for word in generation.words), tuple(word.tokens for word in generation.words)


def _membership(groups: Sequence[tuple[int, ...]], tokens: int) -> Tensor:
    """Bool [groups, tokens]."""
    member = torch.zeros(len(groups), tokens, dtype=torch.bool)
    for row, group in zip(member, groups, strict=True):
        row[list(group)] = True
    return member
