"""What a scheduler's timesteps mean: how much signal and noise the denoiser was given."""

from __future__ import annotations

import copy
from typing import Any

import diffusers
import torch
from torch import Tensor

from xattnmask.diffusion import Prediction
from xattnmask.errors import SettingError

_KINDS: dict[str, Prediction] = {"epsilon": "noise", "sample": "x0", "v_prediction": "v", "flow_prediction": "flow"}


def build(name: str, own: Any) -> Any:
    """A scheduler of diffusers by its class name, with the noise schedule of a checkpoint's ``own``.

    Raises:
        SettingError: there is none, or it steers another kind of model.
    """
    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise SettingError(f"diffusers has no scheduler {name!r}; {type(own).__name__} is one")
    try:
        made: Any = kind.from_config(own.config)  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, NotImplementedError) as error:
        raise SettingError(f"scheduler {name} does not fit this model: {str(error).splitlines()[0]}") from error
    if _is_flow(made) != _is_flow(own) or ("sigma_data" in made.config) != ("sigma_data" in own.config):
        raise SettingError(f"scheduler {name} is for another kind of model than {type(own).__name__} is")
    needed = ("init_noise_sigma", "scale_model_input", "alphas_cumprod")
    if lacking := [attribute for attribute in needed if hasattr(own, attribute) and not hasattr(made, attribute)]:
        raise SettingError(f"scheduler {name} does not fit this model: it has no {lacking[0]}")
    return made


def prediction_kind(scheduler: Any) -> Prediction:
    """What the denoiser predicts; raises SettingError for what is not known."""
    name = scheduler.config.get("prediction_type", "flow_prediction" if _is_flow(scheduler) else "epsilon")
    if name not in _KINDS:
        raise SettingError(f"scheduler {type(scheduler).__name__} has the unknown prediction type {name!r}")
    return _KINDS[name]


def levels(scheduler: Any, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma, float64 [steps], so that the denoiser was given alpha * x0 + sigma * noise.

    ``timesteps`` [steps] are what it was called with. Schedulers whose own samples are x0 + sigma * noise scale them
    down to this for the denoiser. Times between those of training are interpolated in log(sigma / alpha), as Karras'
    schedulers do (Karras et al., 2022).
    """
    if _is_flow(scheduler):
        sigma = _paired_sigmas(scheduler, timesteps)
        return 1 - sigma, sigma
    if "sigma_data" in scheduler.config:
        sigma = _paired_sigmas(scheduler, timesteps) / scheduler.config.sigma_data
    else:
        share = scheduler.alphas_cumprod.double().cpu().clamp(1e-12, 1 - 1e-12)
        ratio = ((1 - share) / share).sqrt().log()
        sigma = _interpolated(ratio, timesteps.double().cpu()).exp()
    alpha = 1 / (1 + sigma**2).sqrt()
    return alpha, sigma * alpha


def noised(scheduler: Any, clean: Tensor, seed: int) -> Tensor:
    """``clean`` latents [1, ...] with noise of each of the scheduler's timesteps, as denoisers get them, [steps, ...].

    By the scheduler's own way of adding noise, drawn anew for each step. ``scheduler`` has its timesteps set.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    steps = []
    for index, timestep in enumerate(scheduler.timesteps.cpu()):
        noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
        steps.append(_noised_at(_before_step(scheduler, index), clean, noise, timestep))
    return torch.cat(steps)


def _before_step(scheduler: Any, index: int) -> Any:
    """A copy of ``scheduler`` about to make its step ``index``: some count their steps as they go."""
    fresh = copy.deepcopy(scheduler)
    fresh._step_index = None
    if hasattr(fresh, "set_begin_index"):
        fresh.set_begin_index(index)
    return fresh


def _noised_at(scheduler: Any, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
    if _is_flow(scheduler):
        flowing: Tensor = scheduler.scale_noise(clean, timestep[None], noise)
        return flowing
    noisy: Tensor = scheduler.scale_model_input(scheduler.add_noise(clean, noise, timestep[None]), timestep)
    return noisy


def _is_flow(scheduler: Any) -> bool:
    """Whether its samples are (1 - sigma) * x0 + sigma * noise (rectified flow)."""
    return hasattr(scheduler, "scale_noise")


def _interpolated(values: Tensor, places: Tensor) -> Tensor:
    low = places.floor().long().clamp(0, len(values) - 1)
    high = (low + 1).clamp(max=len(values) - 1)
    share = (places - low).clamp(0, 1)
    return values[low] * (1 - share) + values[high] * share


def _paired_sigmas(scheduler: Any, timesteps: Tensor) -> Tensor:
    """The sigmas that the timesteps stand for (the scheduler's own pairs of the two)."""
    known, sigmas = scheduler.timesteps.double().cpu(), scheduler.sigmas.double().cpu()
    nearest = (timesteps.double().cpu()[:, None] - known).abs().argmin(1)
    chosen: Tensor = sigmas[nearest]
    return chosen
