"""Infidelity and sensitivity (Yeh et al., 2019), by Captum. Here the input is the mask over the prompt's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError
from ..optional import need

if TYPE_CHECKING:
    from torch import Tensor

    from ..adapter import Adapter
    from ..generation import Generation
    from ..results import Explanation


def infidelity(model: Adapter, generation: Generation, explanation: Explanation, *, samples: int = 16,
               seed: int = 0) -> float:
    """How badly the importance of words tells what happens when some of them are taken away; 0 is perfect.

    The mean over random sets of words of (what their importances add up to - how far the model's states go without
    them)^2, the importances scaled by the factor that fits best, since methods differ in their units.
    ``captum.metrics.infidelity`` with ``normalize=True``.

    Args:
        model, generation, explanation: as in :func:`xattnmask.regenerate`.
        samples: how many sets, each word in one with a chance of one half.
        seed: of the sets.

    Raises:
        SettingError: ``samples`` is below 1, or the explanation is of another prompt.
        MissingLibraryError: captum is not installed.
    """
    import torch

    captum, words = need("captum.metrics", "captum"), explanation.words_in_prompt
    if samples < 1 or explanation.prompt != generation.prompt:
        raise SettingError("infidelity needs one sample at least, and the generation that was explained")
    moved = _moved(model, generation, [word.tokens for word in words])
    importance = torch.tensor([[row.importance for row in explanation.words()]], dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)

    def without(kept: Tensor) -> tuple[Tensor, Tensor]:
        taken = (torch.rand(kept.shape, generator=generator) < 0.5).to(kept.dtype)
        return taken, kept - taken

    everything = torch.ones(1, len(words))
    return float(captum.infidelity(moved, without, everything, importance, n_perturb_samples=samples,
                                   max_examples_per_batch=8, normalize=True))


def sensitivity(model: Adapter, generation: Generation, method: str, *, radius: float = 0.02, samples: int = 4,
                seed: int = 0, **settings: Any) -> float:
    """How much a method's answer changes when the model reads each token a little less; 0 is perfectly steady.

    The largest ||A' - A|| / ||A|| over ``samples`` explanations A' made while the attention on every token is scaled by
    a random factor from 1 - ``radius`` to 1. ``captum.metrics.sensitivity_max``.

    Args:
        model, generation: what is explained.
        method, settings: an attribution method and its settings; the same ``seed`` for all explanations.
        radius: in (0, 1].
        samples: how many; each costs an explanation.
        seed: of the factors, and of the method.

    Raises:
        SettingError: the radius or the number of samples is out of range.
        MissingLibraryError: captum is not installed.
    """
    import torch

    from ..plugins.registry import method as load_method

    captum, chosen = need("captum.metrics", "captum"), load_method(method)
    if not 0 < radius <= 1 or samples < 1:
        raise SettingError("sensitivity needs a radius above 0 and at most 1, and one sample at least")
    generator = torch.Generator().manual_seed(seed)

    def explain(factors: Tensor | tuple[Tensor]) -> tuple[Tensor]:
        rows = factors if isinstance(factors, torch.Tensor) else factors[0]  # Captum gives the first one as a tuple
        return (torch.stack([_attribution(model, generation, chosen, row, seed, settings) for row in rows]),)

    def less(factors: Tensor, radius: float) -> Tensor:
        return factors * (1 - radius * torch.rand(factors.shape, generator=generator))

    plain = torch.ones(1, len(generation.tokens))
    return float(captum.sensitivity_max(explain, plain, less, perturb_radius=radius, n_perturb_samples=samples))


def _attribution(model: Adapter, generation: Generation, method: Any, factors: Tensor, seed: int,
                 settings: Mapping[str, Any]) -> Tensor:
    import torch

    from ..patching import patch

    with torch.enable_grad(), patch(model, factors[None].detach()):
        found = method.attribute(model, generation, seed=seed, on_step=lambda event: None, **settings)
    return torch.from_numpy(np.asarray(found.importance, dtype=np.float32))


def _moved(model: Adapter, generation: Generation, words: Sequence[tuple[int, ...]]) -> Any:
    """From masks over words [batch, words] to how near the states stay to those of the whole prompt, [batch]."""
    import torch

    from ..objective import distances
    from ..replaying import View, build_replayer

    replayer = build_replayer(model, generation, View(), context="joint")
    target = replayer.clean()
    blank = replayer.blank() if replayer.similarity == "error" else None

    def near(kept: Tensor) -> Tensor:
        masks = torch.ones(len(kept), len(generation.tokens))
        for column, tokens in enumerate(words):
            masks[:, list(tokens)] = kept[:, [column]].to(masks)
        with torch.no_grad():
            return -distances(replayer.masked(masks.to(target.device)), target, blank).mean(1).cpu()

    return near
