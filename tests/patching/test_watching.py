"""What looks at attention: nothing kept by capturing, and gradients with respect to traced probabilities."""

from __future__ import annotations

import weakref

import pytest
import torch

from xattnmask.patching import MaskIntervention, TraceProbabilities, capture_attention, intercept
from xattnmask.sites import Site


def everything(batch):
    return slice(0, batch)


@torch.no_grad()
def projected(toys, module):
    """Queries, keys and values, float64 [B, H, T, d]."""
    inputs = ((toys.x, module.to_q), (toys.text, module.to_k), (toys.text, module.to_v))
    return [layer(x).double().unflatten(-1, (2, -1)).transpose(1, 2) for x, layer in inputs]


def test_captured_probabilities_live_no_longer_than_the_callback_keeps_them(toys, style):
    """Streamed: over many layers and passes there is never more than one call's in memory."""
    model, alive, most = toys.build(style, layers=6), weakref.WeakSet(), []

    def look(site, probabilities):
        alive.add(probabilities)
        most.append(len(alive))

    with torch.no_grad(), capture_attention(model, look, num_tokens=4):
        for _ in range(5):
            model.backbone(toys.x, toys.text)
    assert len(most) == 30 and max(most) == 1 and not alive


@pytest.mark.parametrize("grads", [True, False])
def test_traced_probabilities_are_those_that_make_the_output(toys, style, grads):
    """The gradient is that of the formula, by head, though no weight and no input wants one."""
    module, seen = style().requires_grad_(grads), []
    site = Site("0", 0, keys=[2, 0], queries=slice(1, None))
    with intercept(torch.nn.Sequential(module), [(site, TraceProbabilities(seen.append))], lambda batch: slice(1, 2)):
        got = module(toys.x, toys.text)
    clean = module(toys.x, toys.text)
    assert torch.allclose(got, clean, atol=1e-6)
    (traced,) = seen
    (gradient,) = torch.autograd.grad(got.square().sum(), traced.probabilities)
    q, k, v = (part[1:] for part in projected(toys, module))
    weights = (q @ k.transpose(-2, -1) / 2).softmax(-1).requires_grad_()
    (expected,) = torch.autograd.grad((weights @ v).square().sum(), weights)
    assert traced.site is site and traced.probabilities.shape == (1, 2, toys.T, toys.L)
    for found, want in ((traced.probabilities, weights), (gradient, expected)):
        assert torch.allclose(traced.on_tokens(found).double(), want.detach()[:, :, 1:][..., [2, 0]], atol=1e-6)
    assert not traced.on_tokens(traced.probabilities).requires_grad


def test_the_unconditional_rows_keep_their_kernel(toys, style):
    module, seen = style(), []
    pairs = [(Site("0", 0), TraceProbabilities(seen.append))]
    with intercept(torch.nn.Sequential(module), pairs, lambda batch: slice(1, 2)):
        got = module(toys.x, toys.text)
    assert torch.equal(got[0], module(toys.x, toys.text)[0]) and len(seen[0].probabilities) == 1
    clean = module(toys.x, toys.text)
    with intercept(torch.nn.Sequential(module), pairs, lambda batch: slice(0, 0)):
        assert torch.equal(module(toys.x, toys.text), clean)
    assert len(seen) == 1


def test_gradients_pass_through_all_layers(toys, style):
    """A later layer's attention depends on an earlier one's: its gradient is not that of the later value path alone."""
    model, seen = toys.build(style), []
    model.backbone.requires_grad_(False)
    pairs = [(site, TraceProbabilities(seen.append)) for site in model.sites(4)]
    with intercept(model.backbone, pairs, everything):
        score = model.backbone(toys.x, toys.text).square().sum()
    first, second = torch.autograd.grad(score, [traced.probabilities for traced in seen])
    assert first.abs().min() > 0 and second.abs().min() > 0 and seen[1].probabilities.grad_fn is not None


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (1, 5, 4)])
def test_suppressed_scores_move_towards_the_lowest(toys, style, shape):
    module, mask = style(), torch.rand(shape)
    mask[..., 1] = 0.0
    with intercept(torch.nn.Sequential(module), [(Site("0", 0), MaskIntervention(mask, "suppress"))], everything):
        got = module(toys.x, toys.text)
    q, k, v = projected(toys, module)
    scores = q @ k.transpose(-2, -1) / 2
    factor = (mask[:, None, None] if mask.ndim == 2 else mask[:, None]).double()
    scores = (scores - scores.min(-1, keepdim=True).values) * factor
    want = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    assert torch.allclose(got.double(), want, atol=1e-6)


def test_suppressed_scores_leave_padding_out(toys):
    """The lowest score is that of a key that may be seen, and what may not stays unseen."""
    for style in (toys.Sdpa, toys.Eager):
        module, mask = style(), torch.tensor([[0.0, 1.0, 1.0, 1.0]])
        padding = torch.zeros(2, 1, 1, 4)
        padding[..., 3] = torch.finfo(torch.float32).min
        with intercept(torch.nn.Sequential(module), [(Site("0", 0), MaskIntervention(mask, "suppress"))], everything):
            got = module(toys.x, toys.text, attn_mask=padding)
        with intercept(torch.nn.Sequential(module), [(Site("0", 0), MaskIntervention(mask[:, :3], "suppress"))],
                       everything):
            short = module(toys.x, toys.text[:, :3])
        assert torch.allclose(got, short, atol=1e-6)
