"""Editing: the same generation again with words weakened, taken away or strengthened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .edits import Edits, token_weights
from .errors import SettingError
from .patching import Layers, Rule, reweigh
from .positions import by_position
from .replaying import DEPTHS, Depth, check_choice, default_depth, mask_roles
from .sites import Role

if TYPE_CHECKING:
    from .adapter import Adapter
    from .generation import Generation


def edit(model: Adapter, generation: Generation, edits: Edits, *,
         rule: Rule = "bias", depth: Depth | None = None, layers: Layers = "all") -> Generation:
    """Generate again from the same seed and settings with some words of the prompt weighed otherwise.

    Works with any adapter. What the words sound like together is up to the model: a word that is taken away may have
    held another in place, and an autoregressive model goes on with what it has begun.

    Args:
        model: the adapter that made ``generation``.
        generation: what is made again.
        edits: weights by word, ``{"siren": 0.0, "rain": 1.5}``, or :class:`WordEdit` for stretches of the clip.
        rule: how a weight acts on attention, see :func:`xattnmask.patch`.
        depth: ``encoder`` takes a word away from its neighbours in the text encoder too, where it is weakened over the
            whole clip (the text is encoded once): the default where the adapter names the text encoder's sites.
            ``cross`` acts only where audio reads text.
        layers: where it acts, as in :func:`xattnmask.patch`.

    Returns:
        The new generation; without edits, the old one again.

    Raises:
        SettingError: a word that the prompt does not have or has twice, a weight that is out of range, a stretch
            outside the audio, or a generation of another model.
        PatchError: a site could not be patched.
    """
    _check_generation(model, generation)
    roles = _roles(model, len(generation.tokens), depth)
    frames = token_weights(edits, generation.prompt, generation.tokens, generation.times)
    weights = by_position(frames, generation.positions)
    if (weights == weights[0]).all():
        weights = weights[0]  # one row for all positions keeps the fused kernel
    with reweigh(model, weights[None], rule=rule, roles=roles, layers=layers):
        return model.regenerate(generation)


def _roles(model: Adapter, num_tokens: int, depth: Depth | None) -> tuple[Role, ...] | None:
    if depth is None:
        depth = default_depth(model, num_tokens)
    check_choice("depth", depth, DEPTHS)
    return mask_roles(model, num_tokens, depth)


def _check_generation(model: Adapter, generation: Generation) -> None:
    if generation.model != model.key:
        raise SettingError(f"the generation was made by model {generation.model!r}, not by {model.key!r}")
