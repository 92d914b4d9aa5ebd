"""The public context managers, and the choice of layers."""

import numpy as np
import pytest
import torch
from torch import nn

from xattnmask.errors import SettingError
from xattnmask.patching import capture_attention, frozen_history, no_history, patch, record_history, select_sites
from xattnmask.sites import Site


def test_masks_numpy_and_torch_alike(toys, style):
    model, mask = toys.build(style), np.random.default_rng(0).random((1, 5, 4)).astype(np.float32)
    with patch(model, mask) as record:
        got = model.backbone(toys.x, toys.text)
    with patch(model, torch.tensor(mask, dtype=torch.float64)):
        assert torch.allclose(got, model.backbone(toys.x, toys.text), atol=1e-6)
    assert set(record.forwards) == {"layers.0.cross", "layers.1.cross"}
    want = toys.x
    for layer in model.backbone.layers:
        want = want + toys.reference(layer.cross, want, toys.text, torch.tensor(mask)[:, None])
    assert torch.allclose(got.double(), want, atol=1e-6)


def test_gradients_reach_the_callers_leaf(toys):
    model, logits = toys.build(), torch.zeros(1, 4, requires_grad=True)
    with patch(model, logits.sigmoid()):
        model.backbone(toys.x, toys.text).sum().backward()
    assert (logits.grad != 0).all()


@pytest.mark.parametrize(
    "mask",
    [
        torch.ones(4), torch.ones(1, 1, 1, 4), torch.ones(0, 4), torch.ones(1, 4, dtype=torch.int64),
        torch.tensor([[float("nan"), 0, 0, 0]]), torch.tensor([[float("inf"), 0, 0, 0]]),
        torch.full((1, 4), 1.5), torch.full((1, 4), -0.5), np.ones((1, 4), dtype=bool), [[1.0] * 4],
    ],
)  # fmt: skip
def test_bad_masks(toys, mask):
    with pytest.raises(SettingError):
        patch(toys.build(), mask)


@pytest.mark.parametrize(
    "settings", [{"rule": "add"}, {"layers": [2]}, {"layers": "top"}, {"layers": []}, {"roles": ("self",)},
                 {"roles": ("text-encoder",)}, {"streams": ("other",)}]
)  # fmt: skip
def test_bad_settings(toys, settings):
    with pytest.raises(SettingError):
        patch(toys.build(), torch.ones(1, 4), **settings)


def test_layers_and_heads(toys, style):
    model, mask = toys.build(style, layers=3), torch.rand(1, 5, 4)
    with patch(model, mask, layers=[1], heads=[0]) as record:
        got = model.backbone(toys.x, toys.text)
    assert set(record.forwards) == {"layers.1.cross"}
    factor = torch.ones(1, 2, 5, 4)
    factor[:, 0] = mask
    want = toys.x
    for i, layer in enumerate(model.backbone.layers):
        want = want + toys.reference(layer.cross, want, toys.text, factor if i == 1 else None)
    assert torch.allclose(got.double(), want, atol=1e-6)


def test_rows_come_from_the_adapter_or_the_caller(toys, style):
    model = toys.build(style, rows=lambda batch: slice(batch // 2, None))
    clean = model.backbone(toys.x, toys.text)
    with patch(model, torch.zeros(1, 5, 4)):
        got = model.backbone(toys.x, toys.text)
    assert torch.equal(got[0], clean[0]) and torch.equal(got[1], toys.x[1])
    with patch(model, torch.zeros(1, 5, 4), rows=lambda batch: slice(0, 1)):
        got = model.backbone(toys.x, toys.text)
    assert torch.equal(got[1], clean[1]) and torch.equal(got[0], toys.x[0])


def test_a_prefix_model_stands_in(toys):
    backbone = nn.Sequential(toys.CausalSdpa())
    site = Site("0", 0, role="prefix", keys=slice(0, 2), queries=slice(2, None))
    mask = torch.rand(1, 2)
    with patch(toys.Model(backbone, [site]), mask):
        got = backbone(toys.x)
    factor = torch.ones(1, 1, 5, 5)
    factor[:, :, 2:, :2] = mask
    want = toys.reference(backbone[0], toys.x, toys.x, factor, allowed=torch.ones(5, 5).tril())
    assert torch.allclose(got.double(), want, atol=1e-6)


def test_text_encoders_take_bias_and_the_maximum_over_time(toys):
    backbone = toys.Backbone(toys.Eager, 2)
    sites = [Site("layers.0.cross", 0, role="text-encoder"), Site("layers.1.cross", 0)]
    model, mask = toys.Model(backbone, sites), torch.rand(1, 5, 4)
    with patch(model, mask, roles=("cross", "text-encoder"), layers=[0], heads=[0, 1]):
        got = backbone(toys.x, toys.text)
    shared = mask.amax(1)[:, None, None]
    want = toys.x + toys.reference(backbone.layers[0].cross, toys.x, toys.text, shared, rule="bias")
    want = want + toys.reference(backbone.layers[1].cross, want, toys.text, mask[:, None])
    assert torch.allclose(got.double(), want, atol=1e-6)


def test_capture_attention(toys, style):
    model, seen = toys.build(style, rows=lambda batch: slice(0, 1)), []
    clean = model.backbone(toys.x, toys.text)
    with capture_attention(model, lambda site, p: seen.append((site.layer, p)), num_tokens=4, layers="last"):
        assert torch.equal(model.backbone(toys.x, toys.text), clean)
    ((layer, probabilities),) = seen
    assert layer == 1 and probabilities.shape == (1, toys.H, toys.T, toys.L)
    assert torch.allclose(probabilities.sum(-1), torch.ones(1, toys.H, toys.T))


class Decoder(nn.Module):
    """Causal self-attention, then attention to text: what the contexts are about."""

    def __init__(self, toys):
        super().__init__()
        self.own, self.cross = toys.CausalSdpa(), toys.Sdpa()

    def forward(self, x, text):
        x = x + self.own(x)
        return x + self.cross(x, text=text)


@pytest.fixture
def decoder(toys):
    sites = [Site("1.own", 0, role="self"), Site("1.cross", 0, role="cross"), Site("0.cross", 1, role="cross")]
    sites.append(Site("0.own", 1, role="self"))
    backbone = nn.ModuleList([Decoder(toys), Decoder(toys)])
    backbone.forward = lambda x, text: backbone[1](backbone[0](x, text), text)
    return toys.Model(backbone, sites)


def test_context_none_equals_length_one_sequences(toys, decoder):
    mask = torch.rand(1, 5, 4)
    with patch(decoder, mask), no_history(decoder, 4):
        got = decoder.backbone(toys.x, toys.text)
    for t in range(toys.T):
        with patch(decoder, mask[:, t]):
            alone = decoder.backbone(toys.x[:, t : t + 1], toys.text)
        assert torch.allclose(got[:, t : t + 1], alone, atol=1e-6)


def test_context_frozen_keeps_each_masked_position_to_itself(toys, decoder):
    """With a mask that only touches position 2, no other position changes; in the joint context later ones do."""
    mask = torch.ones(2, 5, 4)
    mask[:, 2] = 0
    mask[1] *= 0.5
    with record_history(decoder, 4) as recorded:
        clean = decoder.backbone(toys.x[:1], toys.text[:1])
    x, text = toys.x[:1].expand(2, -1, -1), toys.text[:1].expand(2, -1, -1)
    with patch(decoder, mask), frozen_history(decoder, 4, recorded):
        got = decoder.backbone(x, text)
    with patch(decoder, mask):
        joint = decoder.backbone(x, text)
    others = [0, 1, 3, 4]
    assert torch.allclose(got[0, others], clean[0, others], atol=1e-6)
    assert not torch.allclose(got[0, 2], clean[0, 2], atol=1e-3)
    assert not torch.allclose(got[1], clean[0], atol=1e-3)
    assert torch.allclose(joint[0, :3], got[0, :3], atol=1e-6)
    assert not torch.allclose(joint[0, 3:], clean[0, 3:], atol=1e-3)


def sites_of(layers, role="cross", stream="text"):
    return [Site(f"{role}.{stream}.{i}", i, role=role, stream=stream) for i in range(layers)]


@pytest.mark.parametrize(
    ("layers", "first", "middle", "last"),
    [(1, [0], [0], [0]), (2, [0], [0, 1], [1]), (3, [0], [1], [2]), (4, [0], [1, 2], [3]), (6, [0, 1], [2, 3], [4, 5])],
)
def test_thirds(layers, first, middle, last):
    for name, want in (("first", first), ("middle", middle), ("last", last), ("all", list(range(layers)))):
        assert [s.layer for s in select_sites(sites_of(layers), name)] == want


def test_layers_are_counted_within_role_and_stream():
    sites = sites_of(6) + sites_of(3, stream="gpt2") + sites_of(2, role="self")
    chosen = select_sites(sites, "last")
    assert [(s.stream, s.layer) for s in chosen] == [("text", 4), ("text", 5), ("gpt2", 2)]
    assert len(select_sites(sites, streams=["gpt2"])) == 3
    assert {s.stream for s in select_sites(sites, [5])} == {"text"}
    with pytest.raises(SettingError, match="layers 0 to 5"):
        select_sites(sites, [6])
    with pytest.raises(SettingError, match="layers 0 to 2"):
        select_sites(sites, [5], streams=["gpt2"])
    with pytest.raises(SettingError, match="unknown streams"):
        select_sites(sites, streams=["text", "t5"])
