"""What a scheduler's timesteps mean: how much signal and noise the denoiser was given."""

from __future__ import annotations

from typing import Any

import diffusers
from torch import Tensor

from xattnmask.diffusion import Prediction
from xattnmask.errors import SettingError

_KINDS: dict[str, Prediction] = {"epsilon": "noise", "sample": "x0", "v_prediction": "v", "flow_prediction": "flow"}


def build(name: str, config: Any) -> Any:
    """A scheduler of diffusers by its class name, with the checkpoint's noise schedule; raises SettingError."""
    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, diffusers.SchedulerMixin)):
        raise SettingError(f"diffusers has no scheduler {name!r}; DDIMScheduler is one")
    try:
        return kind.from_config(config)  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, NotImplementedError) as error:
        raise SettingError(f"scheduler {name} does not fit this model: {str(error).splitlines()[0]}") from error


def prediction_kind(scheduler: Any) -> Prediction:
    """What the denoiser predicts; raises SettingError for what is not known."""
    name = scheduler.config.get("prediction_type", "epsilon")
    if name not in _KINDS:
        raise SettingError(f"scheduler {type(scheduler).__name__} has the unknown prediction type {name!r}")
    return _KINDS[name]


def levels(scheduler: Any, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma, float64 [steps], so that the denoiser was given alpha * x0 + sigma * noise.

    ``timesteps`` [steps] are what it was called with. Schedulers whose own samples are x0 + sigma * noise scale them
    down to this for the denoiser. Times between those of training are interpolated in log(sigma / alpha), as Karras'
    schedulers do (Karras et al., 2022).
    """
    if "sigma_data" in scheduler.config:
        sigma = _edm_sigmas(scheduler, timesteps) / scheduler.config.sigma_data
    else:
        share = scheduler.alphas_cumprod.double().cpu().clamp(1e-12, 1 - 1e-12)
        ratio = ((1 - share) / share).sqrt().log()
        sigma = _interpolated(ratio, timesteps.double().cpu()).exp()
    alpha = 1 / (1 + sigma**2).sqrt()
    return alpha, sigma * alpha


def _interpolated(values: Tensor, places: Tensor) -> Tensor:
    low = places.floor().long().clamp(0, len(values) - 1)
    high = (low + 1).clamp(max=len(values) - 1)
    share = (places - low).clamp(0, 1)
    return values[low] * (1 - share) + values[high] * share


def _edm_sigmas(scheduler: Any, timesteps: Tensor) -> Tensor:
    """The sigmas whose preconditioned noise the timesteps are (the scheduler's own pairs of the two)."""
    known, sigmas = scheduler.timesteps.double().cpu(), scheduler.sigmas.double().cpu()
    nearest = (timesteps.double().cpu()[:, None] - known).abs().argmin(1)
    chosen: Tensor = sigmas[nearest]
    return chosen
