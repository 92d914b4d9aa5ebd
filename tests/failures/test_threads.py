"""Several models, several threads."""

from __future__ import annotations

import threading
from pathlib import Path

import torch

import xattnmask as xm

from ..toy_plugin import Toy


def test_two_models_patched_at_once_in_one_thread(toy_model, sound, zeros, ones):
    other = Toy(toy_model.checkpoint, "cpu", "float32")
    with torch.no_grad():
        clean = toy_model.replay(sound)
        with xm.patch(toy_model, zeros), xm.patch(other, ones):
            first, second = toy_model.replay(sound), other.replay(sound)
    assert torch.allclose(second, clean, atol=1e-6) and not torch.allclose(first, clean, atol=1e-3)


def test_two_models_patched_at_once_in_two_threads(toy_model, sound):
    """Each thread patches, replays, regenerates and leaves, over and over; each gets what it gets alone."""
    Path(toy_model.checkpoint)
    models = [toy_model, Toy(toy_model.checkpoint, "cpu", "float32")]
    masks = [torch.full((1, len(sound.tokens)), value) for value in (0.0, 0.5)]

    def once(model, mask):
        with torch.no_grad(), xm.patch(model, mask):
            return model.replay(sound), model.regenerate(sound).audio

    expected = [once(model, mask) for model, mask in zip(models, masks, strict=True)]
    start, wrong = threading.Barrier(2), []

    def work(index):
        start.wait()
        for _ in range(30):
            states, audio = once(models[index], masks[index])
            if not torch.equal(states, expected[index][0]) or (audio != expected[index][1]).any():
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in threads)
    assert all(not module._forward_hooks for model in models for module in model.backbone.modules())
