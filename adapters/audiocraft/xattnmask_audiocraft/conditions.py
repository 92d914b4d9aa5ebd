"""The text of an audiocraft model: the condition ``description``, encoded, and where it stands among the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .library import ConditioningAttributes

DESCRIPTION = "description"
"""The condition that audiocraft's ``generate`` puts the prompt into."""
Tensors = dict[str, tuple[torch.Tensor, torch.Tensor]]


class Conditions:
    """The conditions of a language model. All but the description are left out, as by audiocraft's own null."""

    def __init__(self, model: Any) -> None:
        self.provider, self.fuser = model.condition_provider, model.fuser
        self.conditioner = self.provider.conditioners[DESCRIPTION]
        self.first_key = self._first_key()

    def attributes(self, prompt: str | None) -> Any:
        """What the model is told, in audiocraft's terms."""
        texts = dict.fromkeys(self.provider.text_conditions)
        return ConditioningAttributes(text={**texts, DESCRIPTION: prompt})

    def encode(self, prompt: str | None, batch: int = 1) -> Tensors:
        """Each condition and its mask, ([batch, keys, width], [batch, keys]), under the caller's grad mode."""
        tokens = self.provider.tokenize([self.attributes(prompt)] * batch)
        with self._grad_mode_of_caller():
            found: Tensors = self.provider(tokens)
        return found

    def embeddings(self, prompt: str) -> torch.Tensor:
        """The prompt's tokens in the language model's width, [tokens, width]."""
        return self.encode(prompt)[DESCRIPTION][0][0]

    @torch.no_grad()
    def _first_key(self) -> int:
        """Key column of the first token: those that are cross-attended stand one after the other along the keys."""
        before = 0
        for name, (condition, _) in self.encode(None).items():
            if name == DESCRIPTION:
                break
            if self.fuser.cond2fuse[name] == "cross":
                before += condition.shape[1]
        return before

    @contextmanager
    def _grad_mode_of_caller(self) -> Iterator[None]:
        """``T5Conditioner`` runs T5 without gradients unless it is trained; a mask inside T5 wants them too."""
        before = self.conditioner.finetune
        self.conditioner.finetune = torch.is_grad_enabled()
        try:
            yield
        finally:
            self.conditioner.finetune = before
