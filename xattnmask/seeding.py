"""Sampling from a seed, for adapters whose library draws from the global random state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's sampling on the CPU and on ``device`` inside, and leave the caller's random states as they were.

    Python's ``random`` is not seeded, but put back: some decoders draw from it for layer dropout, in evaluation too.
    """
    device = torch.device(device)
    python, processor = random.getstate(), torch.get_rng_state()
    accelerator = None if device.type == "cpu" else torch.get_device_module(device)
    which = (device,) if device.type in ("cuda", "xpu") else ()  # the others have one device, and take no name
    state = accelerator.get_rng_state(*which) if accelerator else None
    try:
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch every accelerator
        if accelerator:
            with accelerator.device(device) if which else nullcontext():
                accelerator.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        torch.set_rng_state(processor)
        if accelerator:
            accelerator.set_rng_state(state, *which)
