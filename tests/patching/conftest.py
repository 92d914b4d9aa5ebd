"""Toy backbones in the styles in which libraries write attention, an adapter over them, and float64 references."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xattnmask.sites import Site

B, T, L, H, D = 2, 5, 4, 2, 8


class Attention(nn.Module):
    """Projections without bias; subclasses compute ``mix(q, k, v)`` on [B, H, T, d]."""

    def __init__(self, width=D, heads=H, kv_heads=None):
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads or heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width // heads * self.kv_heads, bias=False)
        self.to_v = nn.Linear(width, width // heads * self.kv_heads, bias=False)

    def forward(self, x, text=None, attn_mask=None, position=0):
        text = x if text is None else text
        q = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k = self.to_k(text).unflatten(-1, (self.kv_heads, -1)).transpose(1, 2)
        v = self.to_v(text).unflatten(-1, (self.kv_heads, -1)).transpose(1, 2)
        return self.mix(q, k, v, attn_mask).transpose(1, 2).flatten(2)


class Sdpa(Attention):
    def mix(self, q, k, v, attn_mask):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, enable_gqa=self.kv_heads != self.heads)


class CausalSdpa(Attention):
    def mix(self, q, k, v, attn_mask):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Eager(Attention):
    def mix(self, q, k, v, attn_mask):
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        if attn_mask is not None:
            scores = scores + attn_mask
        return torch.softmax(scores, dim=-1) @ v


class Flat(Attention):
    """baddbmm and softmax over [B*H, Q, K], as diffusers and audiocraft write it."""

    def mix(self, q, k, v, attn_mask):
        batch, heads = q.shape[:2]
        q, k, v = (x.flatten(0, 1) for x in (q, k, v))
        empty = torch.zeros(q.shape[0], q.shape[1], k.shape[1], dtype=q.dtype)
        scores = torch.baddbmm(empty, q, k.transpose(-2, -1), beta=0, alpha=q.shape[-1] ** -0.5)
        return (scores.softmax(dim=-1).to(v.dtype) @ v).unflatten(0, (batch, heads))


class Kernel(Attention):
    """Attention that torch functions never show."""

    def mix(self, q, k, v, attn_mask):
        with torch._C.DisableTorchFunction():
            return F.scaled_dot_product_attention(q, k, v)


class Twice(Attention):
    def mix(self, q, k, v, attn_mask):
        return F.scaled_dot_product_attention(F.scaled_dot_product_attention(q, k, v), k, v)


class Layer(nn.Module):
    def __init__(self, style):
        super().__init__()
        self.cross = style()

    def forward(self, x, text):
        return x + self.cross(x, text=text)


class Backbone(nn.Module):
    def __init__(self, style=Sdpa, layers=2):
        super().__init__()
        self.layers = nn.ModuleList(Layer(style) for _ in range(layers))

    def forward(self, x, text):
        for layer in self.layers:
            x = layer(x, text)
        return x


class Model:
    """What ``patch`` needs of an adapter."""

    def __init__(self, backbone, sites, rows=lambda batch: slice(0, batch)):
        self.backbone, self._sites, self.conditional_rows = backbone, sites, rows

    def sites(self, num_tokens):
        return self._sites


def reference(module, x, text, factor=None, *, rule="scale", allowed=None):
    """What one attention module gives under ``factor`` [B, 1 or H, T, K], in float64, from the formula."""
    x, text = x.double(), text.double()
    heads, kv = module.heads, module.kv_heads
    q = (x @ module.to_q.weight.double().T).unflatten(-1, (heads, -1)).transpose(1, 2)
    k = (text @ module.to_k.weight.double().T).unflatten(-1, (kv, -1)).transpose(1, 2)
    v = (text @ module.to_v.weight.double().T).unflatten(-1, (kv, -1)).transpose(1, 2)
    k, v = (t.repeat_interleave(heads // kv, dim=1) for t in (k, v))
    weights = torch.exp(q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5)
    if allowed is not None:
        weights = weights * allowed
    factor = torch.ones((), dtype=torch.float64) if factor is None else factor.double()
    if rule == "bias":
        weights = weights * factor
        total = weights.sum(-1, keepdim=True)
        probabilities = torch.where(total > 0, weights / total, 0.0)
    else:
        probabilities = weights / weights.sum(-1, keepdim=True) * factor
    return (probabilities @ v).transpose(1, 2).flatten(2)


@pytest.fixture
def toys():
    """The toy classes, sizes and reference as one namespace, with seeded inputs."""
    torch.manual_seed(0)

    def build(style=Sdpa, layers=2, rows=None, **site):
        backbone = Backbone(style, layers).eval()
        sites = [Site(f"layers.{i}.cross", i, **site) for i in range(layers)]
        return Model(backbone, sites, *([rows] if rows else []))

    return SimpleNamespace(
        build=build, reference=reference, Model=Model, Backbone=Backbone, Sdpa=Sdpa, Eager=Eager, Flat=Flat,
        Kernel=Kernel, Twice=Twice, CausalSdpa=CausalSdpa, styles=(Sdpa, Eager, Flat),
        x=torch.randn(B, T, D), text=torch.randn(B, L, D), B=B, T=T, L=L, H=H, D=D,
    )  # fmt: skip


@pytest.fixture(params=["Sdpa", "Eager", "Flat"])
def style(request, toys):
    """Each way of writing attention."""
    return getattr(toys, request.param)
