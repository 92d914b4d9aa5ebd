"""What diffusion models owe besides: steps, noise levels, and masks by step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...diffusion import DiffusionAdapter
from ...patching import patch, patch_steps
from ..check import NotApplicable, check, require
from ..measuring import last_module, outputs_of, same
from ..subject import Subject
from .masks import encoder_roles, replayed


def _diffusion(subject: Subject) -> DiffusionAdapter:
    if subject.diffusion is None:
        raise NotApplicable("not a diffusion model")
    return subject.diffusion


@check("denoising steps are rows of a batch, with their levels of noise", "See DiffusionAdapter.denoise.")
def denoise(subject: Subject) -> None:
    model, made = _diffusion(subject), subject.generation()
    levels = made.noise_levels
    require(levels is not None and len(levels) > 0, "the generation has no noise_levels: give one for each call of the "
            "denoiser, sigma / sqrt(alpha^2 + sigma^2)")
    assert levels is not None
    require(bool(((levels >= 0) & (levels <= 1)).all() and (np.diff(levels) <= 1e-6).all()), "noise_levels must lie in "
            "[0, 1] and never rise: they go from noise to audio")
    with torch.no_grad():
        whole, null = (model.denoise(made, range(len(levels)), text=text) for text in (True, False))
    wanted = (1, len(levels), len(made.positions))
    fits = tuple(whole.prediction.shape[:3]) == wanted and whole.latents.shape == whole.prediction.shape[1:]
    require(fits, "denoise "
            f"returns predictions {list(whole.prediction.shape)} and latents {list(whole.latents.shape)}: they must be "
            f"[batch, steps, positions, width] = {[*wanted, 'width']}, and the same without batch")
    require(not same(null.prediction, whole.prediction), "denoise(text=False) predicts the same as with text: run the "
            "unconditional branch there")
    share = (whole.sigma / (whole.alpha**2 + whole.sigma**2).sqrt()).cpu().numpy()
    require(bool(np.allclose(share, levels, atol=1e-3)), "noise_levels are not sigma / sqrt(alpha^2 + sigma^2) of what "
            "denoise returns")
    if len(levels) > 1:
        _rows(model, subject, whole.prediction[0])


def _rows(model: DiffusionAdapter, subject: Subject, whole: Tensor) -> None:
    chosen = [len(whole) - 1, 0]
    with torch.no_grad():
        found = model.denoise(subject.generation(), chosen, batch=2).prediction
    require(all(same(copy, whole[chosen]) for copy in found), f"denoise(steps={chosen}, batch=2) is not what those "
            "steps give in one batch: row b * len(steps) + s must be copy b of step s")


@check("each step runs under its own mask while audio is made",
       "Set self.step before each call of the denoiser, and encode the text anew where encodes_anew is true "
       "and mask_in_force is another.")
def by_step(subject: Subject) -> None:
    model, made = _diffusion(subject), subject.generation()
    steps = len(made.noise_levels)  # type: ignore[arg-type]
    if steps < 2:
        raise NotApplicable("one denoising step alone: generate with more")
    with torch.no_grad():
        last = last_module(model, lambda: model.denoise(made, [0]))
    assert last is not None
    masks = torch.ones(steps, len(made.tokens))
    masks[1] = 0
    clean, found = _outputs(model, subject, last, None), _outputs(model, subject, last, masks)
    require(clean[1] == list(range(steps)), f"model.step reads {clean[1]} at the calls of the denoiser: set self.step "
            "to 0, 1, ... before each call")
    require(same(found[0][0], clean[0][0]), "zeros at step 1 alone change step 0: text encoded under a patch must be "
            "encoded anew where encodes_anew is true and mask_in_force is another")
    require(not same(found[0][1], clean[0][1]), "zeros at step 1 alone do not change step 1: set self.step before the "
            "call, and encode the text anew where encodes_anew is true and mask_in_force is another")
    require(model.step == 0 and not model.encodes_anew, "step must be 0 again after generate")


@check("stretches of the audio read texts of their own",
       "See DiffusionAdapter.texts: encode the text with so many rows for each, and hand on their keys side by side; "
       "or leave encodes_apart at False.")
def apart(subject: Subject) -> None:
    model, made = _diffusion(subject), subject.generation()
    roles = encoder_roles(subject)
    if not model.encodes_apart or roles is None:
        raise NotApplicable("the text is encoded once for the whole clip")
    steps = len(made.noise_levels)  # type: ignore[arg-type]
    halves = torch.rand(steps, 2, len(made.tokens), generator=torch.Generator().manual_seed(0))
    halves = halves.to(next(subject.weights()).device)
    shared, settings = halves.amax(1), {"roles": roles, "text_stretches": 2}
    one, two = (replayed(subject, mask, **settings) for mask in (shared, shared[:, None].repeat(1, 2, 1)))
    require(same(one, two), "a mask that is the same for both halves is not what it is for the whole: denoise must "
            "give both texts to each row, one after the other along the keys")
    require(not same(replayed(subject, halves, **settings), replayed(subject, halves, roles=roles)), "texts of their "
            "own change nothing: all sites that read text must have places, and role cross or summary")
    with patch(model, torch.ones_like(halves[:1]), **settings):  # type: ignore[arg-type]
        audio = model.regenerate(made).audio
    require(same(audio, made.audio), "texts of their own under a mask of ones change the audio: encode the text anew "
            "where encodes_anew is true, for both branches of guidance as long")


def _outputs(
    model: DiffusionAdapter, subject: Subject, last: torch.nn.Module, masks: Tensor | None
) -> tuple[list[Tensor], list[int]]:
    """What the denoiser's last module gave at each call, in the prompt's rows, and ``model.step`` there."""
    kept: list[Tensor] = []
    steps: list[int] = []

    def note(output: Tensor) -> None:
        kept.append(output[model.conditional_rows(len(output))][:1])
        steps.append(model.step)

    with outputs_of(last, note):
        if masks is None:
            model.regenerate(subject.generation())
        else:
            with patch_steps(model, masks, range(len(masks))):
                model.regenerate(subject.generation())
    return kept, steps
