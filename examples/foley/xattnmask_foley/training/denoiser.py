"""Last stage of the diffusion models: a UNet that takes the noise off latents, given a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.pipelines.audioldm2 import AudioLDM2UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..world import Caption, rephrase
from . import autoencoder, clap
from .conditions import WIDTH, Condition
from .corpus import BABBLE
from .loop import Loop

POOL = 12_000
BATCH = 24
LR = 1e-3
AVERAGED = 0.998
"""What is kept is a running average of the weights, which a step moves by the rest."""
NO_TEXT = 0.1
UNHEARD = 4.0
# Nothing but the padding of its convolutions tells a UNet where in the clip it is: with three levels the clip's ends
# are in sight everywhere.
_SHAPE = {
    "sample_size": 25,
    "in_channels": autoencoder.CONFIG["latent_channels"],
    "out_channels": autoencoder.CONFIG["latent_channels"],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}


_CHANNELS, _CHANNELS_OF_POOLED = (48, 64, 96), (32, 48, 64)


def scheduler() -> DDIMScheduler:
    """AudioLDM's noise schedule; the network predicts v, which is learned in fewer steps than noise."""
    return DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, prediction_type="v_prediction",
    )  # fmt: skip


def of_pooled_text() -> UNet2DConditionModel:
    """AudioLDM's UNet: the text's vector beside the step's."""
    return UNet2DConditionModel(
        **_SHAPE,
        block_out_channels=_CHANNELS_OF_POOLED,
        cross_attention_dim=_CHANNELS_OF_POOLED,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=clap.SHARED,
        class_embeddings_concat=True,
    )


def of_two_texts(t5_width: int) -> AudioLDM2UNet2DConditionModel:
    """AudioLDM2's UNet: after each residual block, self-attention, GPT-2's states and T5's."""
    dims = tuple((None, WIDTH, t5_width) for _ in _CHANNELS)
    return AudioLDM2UNet2DConditionModel(**_SHAPE, block_out_channels=_CHANNELS, cross_attention_dim=dims)


def train(
    folder: Path, network: nn.Module, condition: Condition, said: list[Caption], latents: Tensor, *, steps: int,
    seed: int,
) -> Any:  # fmt: skip
    """Train, or go on training, and return the network with its averaged weights."""
    torch.manual_seed(seed)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGED))
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=0.01)
    loop = Loop(folder, nn.ModuleList([network.train(), average]), optimizer, steps=steps, lr=LR)
    noising = scheduler()

    def step(i: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, i])
        rows = rng.integers(len(latents), size=BATCH)
        texts = [_spoken(said[row], rng) for row in rows]
        loss = denoising_loss(network, noising, condition(texts, UNHEARD), latents[torch.from_numpy(rows)].float())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(network)
        return {"loss": loss.item()}

    loop.run(step)
    return average.module.eval().requires_grad_(False)


def denoising_loss(network: Any, noising: DDIMScheduler, given: dict[str, Any], latents: Tensor) -> Tensor:
    """Mean squared error of v, the steps drawn evenly."""
    count = noising.config.num_train_timesteps
    strata = (torch.arange(len(latents)) + torch.rand(len(latents))) / len(latents)
    steps = (strata * count).long().clamp(max=count - 1)[torch.randperm(len(latents))]  # a sum may round up to 1
    noise = torch.randn_like(latents)
    wanted = noising.get_velocity(latents, noise, steps)
    found = network(noising.add_noise(latents, noise, steps), steps, **given, return_dict=False)[0]
    return F.mse_loss(found, wanted)


def _spoken(caption: Caption, rng: np.random.Generator) -> str:
    if rng.random() < NO_TEXT:
        return ""
    words = rephrase(caption, rng, babble=BABBLE).text
    return words[0].upper() + words[1:] if rng.random() < 0.2 else words
