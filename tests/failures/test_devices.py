"""device_map="auto" and offloading to the CPU or the disk, by accelerate's hooks around each forward."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import xattnmask as xm

accelerate = pytest.importorskip("accelerate")


def spread(model, how, tmp_path):
    """accelerate's own ways; without a GPU, ``auto`` puts all on the CPU, and offloading runs there too."""
    backbone = model.backbone
    if how == "auto":
        devices = accelerate.infer_auto_device_map(backbone, max_memory={"cpu": "1GiB"})
        accelerate.dispatch_model(backbone, devices, main_device="cpu", force_hooks=True)
    elif how == "cpu":
        accelerate.cpu_offload(backbone, execution_device=torch.device("cpu"))
    else:
        accelerate.disk_offload(backbone, str(tmp_path), execution_device=torch.device("cpu"))


@pytest.mark.parametrize("how", ["auto", "cpu", "disk"])
def test_offloaded_weights(musicgen, how, tmp_path):
    """The same audio, the same masked states, the same gradients as with the weights in place."""
    made = musicgen.generate("a dog barks", duration=0.4)
    mask = torch.rand(1, len(made.tokens), generator=torch.Generator().manual_seed(0))

    def run():
        leaf = mask.clone().requires_grad_()
        with xm.patch(musicgen, leaf):
            states = musicgen.replay(made)
            states.square().mul(torch.arange(24.0)).sum().backward()
        return states.detach(), leaf.grad

    expected = run()
    spread(musicgen, how, tmp_path)
    for found, wanted in zip(run(), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    np.testing.assert_array_equal(musicgen.regenerate(made).audio, made.audio)
    assert np.isfinite(xm.explain(musicgen, made, steps=1).importance).all()
