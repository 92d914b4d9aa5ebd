"""Where a backbone's inputs belong, wherever its weights are."""

from __future__ import annotations

import torch
from torch import nn


def input_device(module: nn.Module) -> torch.device:
    """The device on which ``module`` computes: that of its weights, or, where they are offloaded, what accelerate says.

    Weights that accelerate has offloaded to the CPU or the disk lie on the device ``meta`` between forwards.
    """
    device = next(module.parameters()).device
    if device.type != "meta":
        return device
    for part in module.modules():
        found = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
        if found is not None:
            return torch.device(found)
    return device
