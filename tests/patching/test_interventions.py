"""Numbers: every rule, shape and style against float64 references written from the formula."""

import pytest
import torch

from xattnmask.errors import PatchError, SettingError
from xattnmask.patching import (
    CaptureProbabilities,
    FrozenHistory,
    MaskIntervention,
    OwnPositionOnly,
    RecordKeysValues,
    intercept,
)
from xattnmask.sites import Site

SHAPES = [(1, 4), (2, 4), (1, 5, 4), (2, 5, 4)]


def everything(batch):
    return slice(0, batch)


def run(module, intervention, *args, rows=everything, site=None, **kwargs):
    """The module's output with one intervention on it."""
    site = site or Site("0", 0)
    with intercept(torch.nn.Sequential(module), [(site, intervention)], rows):
        return module(*args, **kwargs)


def as_factor(mask):
    return mask[:, None, None] if mask.ndim == 2 else mask[:, None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_matches_the_formula(toys, style, rule, shape):
    module, mask = style(), torch.rand(shape)
    mask[..., 1] = 0.0
    got = run(module, MaskIntervention(mask, rule), toys.x, toys.text)
    want = toys.reference(module, toys.x, toys.text, as_factor(mask), rule=rule)
    assert torch.allclose(got.double(), want, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_ones_are_exact(toys, style, rule, shape):
    module = style()
    got, clean = run(module, MaskIntervention(torch.ones(shape), rule), toys.x, toys.text), module(toys.x, toys.text)
    assert torch.allclose(got, clean, atol=1e-6, rtol=0)
    if style is not toys.Sdpa or (rule == "scale" and len(shape) == 2):
        assert torch.equal(got, clean)


@pytest.mark.parametrize("shape", [(1, 4), (1, 5, 4)])
@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_zeros_give_zero_with_finite_gradients(toys, style, rule, shape):
    module, mask = style(), torch.zeros(shape, requires_grad=True)
    got = run(module, MaskIntervention(mask, rule), toys.x, toys.text)
    assert torch.equal(got, torch.zeros_like(got))
    got.sum().backward()
    assert mask.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 2), slice(1, None), slice(0, 0)])
@pytest.mark.parametrize("rule", ["scale", "bias"])
@pytest.mark.parametrize("shape", [(1, 4), (1, 5, 4)])
def test_other_rows_keep_every_bit(toys, style, rows, rule, shape):
    module = style()
    got = run(module, MaskIntervention(torch.zeros(shape), rule), toys.x, toys.text, rows=lambda batch: rows)
    clean = module(toys.x, toys.text)
    chosen = torch.zeros(toys.B, dtype=torch.bool)
    chosen[rows] = True
    assert torch.equal(got[~chosen], clean[~chosen])
    assert (got[chosen] == 0).all()


def test_conditional_rows_in_the_middle_each_with_its_mask(toys, style):
    module, mask = style(), torch.rand(2, 5, 4)
    x, text = torch.randn(4, 5, 8), torch.randn(4, 4, 8)
    got = run(module, MaskIntervention(mask), x, text, rows=lambda batch: slice(1, 3))
    want = toys.reference(module, x[1:3], text[1:3], as_factor(mask))
    assert torch.allclose(got[1:3].double(), want, atol=1e-6)
    assert torch.equal(got[[0, 3]], module(x, text)[[0, 3]])


@pytest.mark.parametrize("shape", [(1, 4), (1, 5, 4)])
@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_gradients_match_finite_differences(toys, style, rule, shape):
    module = style().double()
    x, text = toys.x.double(), toys.text.double()
    mask = (torch.rand(shape, dtype=torch.float64) * 0.8 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: run(module, MaskIntervention(m, rule), x, text), [mask])


def test_one_sgd_step_in_float32_moves_the_mask(toys, style):
    mask = torch.full((1, 5, 4), 0.5, requires_grad=True)
    run(style(), MaskIntervention(mask), toys.x, toys.text).square().sum().backward()
    assert mask.grad.dtype == torch.float32 and (mask.grad != 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rule", ["scale", "bias"])
@pytest.mark.parametrize("shape", [(1, 4), (1, 5, 4)])
def test_half_precision(toys, style, dtype, rule, shape):
    module = style().to(dtype)
    x, text = toys.x.to(dtype), toys.text.to(dtype)
    mask = torch.rand(shape)
    mask[..., 2] = 0
    mask.requires_grad_()
    got = run(module, MaskIntervention(mask, rule), x, text)
    want = toys.reference(module, x, text, as_factor(mask), rule=rule)
    assert got.dtype == dtype
    assert torch.allclose(got.double(), want, atol=3e-2 if dtype == torch.bfloat16 else 4e-3)
    got.float().sum().backward()
    assert mask.grad.dtype == torch.float32 and mask.grad.isfinite().all()
    ones = run(module, MaskIntervention(torch.ones(shape), rule), x, text)
    assert torch.allclose(ones.float(), module(x, text).float(), atol=1e-2 if dtype == torch.bfloat16 else 1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rule", ["scale", "bias"])
@pytest.mark.parametrize("masked_by", [-1e4, "min", float("-inf")])
def test_a_query_that_loses_its_last_key_gives_zero(toys, dtype, rule, masked_by):
    """Padding leaves key 0 alone, the mask takes it: 0, never NaN and never the padding."""
    low = torch.finfo(dtype).min if masked_by == "min" else masked_by
    padding = torch.tensor([0.0, low, low, low], dtype=dtype).expand(1, 1, 5, 4)
    mask = torch.tensor([[0.0, 1.0, 1.0, 1.0]], requires_grad=True)
    for style in (toys.Sdpa, toys.Eager):
        module = style().to(dtype)
        got = run(module, MaskIntervention(mask, rule), toys.x.to(dtype), toys.text.to(dtype), attn_mask=padding)
        assert torch.equal(got, torch.zeros_like(got))
        got.sum().backward()
        assert mask.grad.isfinite().all()


@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_rows_fully_masked_by_the_model_stay_as_they_are(toys, rule):
    """transformers gives finfo.min everywhere for an unconditional row: uniform attention, which ones must keep."""
    padding = torch.full((2, 1, 5, 4), torch.finfo(torch.float32).min)
    for style in (toys.Sdpa, toys.Eager):
        module = style()
        clean = module(toys.x, toys.text, attn_mask=padding)
        got = run(module, MaskIntervention(torch.ones(1, 5, 4), rule), toys.x, toys.text, attn_mask=padding)
        assert torch.allclose(got, clean, atol=1e-6) and clean.abs().max() > 0
    nothing = torch.zeros(2, 1, 5, 4, dtype=torch.bool)
    module = toys.Sdpa()
    got = run(module, MaskIntervention(torch.ones(1, 5, 4), rule), toys.x, toys.text, attn_mask=nothing)
    assert torch.equal(got, torch.zeros_like(got))


@pytest.mark.parametrize("shape", [(1, 4), (1, 5, 4)])
@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_boolean_attention_masks(toys, rule, shape):
    module, mask = toys.Sdpa(), torch.rand(shape)
    allowed = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1]], dtype=torch.bool)[:, None, None]
    got = run(module, MaskIntervention(mask, rule), toys.x, toys.text, attn_mask=allowed)
    want = toys.reference(module, toys.x, toys.text, as_factor(mask), rule=rule, allowed=allowed)
    assert torch.allclose(got.double(), want, atol=1e-6)


@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_causal_calls(toys, rule):
    module, mask = toys.CausalSdpa(), torch.rand(1, 5, 5)
    got = run(module, MaskIntervention(mask, rule), toys.x)
    want = toys.reference(module, toys.x, toys.x, mask[:, None], rule=rule, allowed=torch.ones(5, 5).tril())
    assert torch.allclose(got.double(), want, atol=1e-6)


@pytest.mark.parametrize("heads", [None, [1], [0, 3]])
@pytest.mark.parametrize("shape", [(1, 4), (1, 5, 4)])
def test_grouped_queries_and_chosen_heads(toys, heads, shape):
    module, mask = toys.Sdpa(heads=4, kv_heads=2), torch.rand(shape)
    got = run(module, MaskIntervention(mask, heads=heads), toys.x, toys.text)
    factor = as_factor(mask)
    if heads is not None:
        factor = torch.where(torch.tensor([h in heads for h in range(4)])[:, None, None], factor, 1.0)
    assert torch.allclose(got.double(), toys.reference(module, toys.x, toys.text, factor), atol=1e-6)


@pytest.mark.parametrize("keys", [slice(1, 3), [2, 1], [-2, 1], slice(-3, -1)])
@pytest.mark.parametrize("shape", [(1, 2), (1, 5, 2)])
def test_only_the_prompts_columns(toys, style, keys, shape):
    module, mask = style(), torch.rand(shape)
    got = run(module, MaskIntervention(mask), toys.x, toys.text, site=Site("0", 0, keys=keys))
    factor = torch.ones(*shape[:-1], 4)
    factor[..., keys] = mask
    assert torch.allclose(got.double(), toys.reference(module, toys.x, toys.text, as_factor(factor)), atol=1e-6)


@pytest.mark.parametrize("rule", ["scale", "bias"])
@pytest.mark.parametrize("shape", [(1, 2), (1, 3, 2)])
def test_prefix_masks_audio_queries_only(toys, style, rule, shape):
    """Text at positions 0 and 1, audio at 2 to 4: mask row t belongs to position 2 + t."""
    module, mask = style(), torch.rand(shape)
    site = Site("0", 0, role="prefix", keys=slice(0, 2), queries=slice(2, None))
    got = run(module, MaskIntervention(mask, rule), toys.x, site=site)
    factor = torch.ones(1, 5, 5)
    factor[:, 2:, :2] = mask
    want = toys.reference(module, toys.x, toys.x, factor[:, None], rule=rule)
    assert torch.allclose(got.double(), want, atol=1e-6)


def test_a_cache_moves_the_mask_along(toys, style):
    """Step by step, and beyond the mask's last row, as in one pass."""
    module, mask = style(), torch.rand(1, 3, 4)
    site = Site("0", 0, offset=lambda arguments: arguments["position"])
    last = torch.cat([mask, mask[:, -1:], mask[:, -1:]], dim=1)
    want = toys.reference(module, toys.x, toys.text, last[:, None])
    got = [run(module, MaskIntervention(mask), toys.x[:, t : t + 1], toys.text, None, t, site=site) for t in range(5)]
    assert torch.allclose(torch.cat(got, 1).double(), want, atol=1e-6)
    chunk = run(module, MaskIntervention(mask), toys.x[:, 1:], toys.text, site=site, position=1)
    assert torch.allclose(chunk.double(), want[:, 1:], atol=1e-6)


def test_a_mask_that_does_not_fit_is_refused(toys, style):
    for mask, rows in (
        (torch.ones(1, 3), everything),  # tokens
        (torch.ones(3, 4), everything),  # batch
        (torch.ones(2, 5, 4), lambda batch: slice(0, 1)),
    ):
        with pytest.raises(SettingError):
            run(style(), MaskIntervention(mask), toys.x, toys.text, rows=rows)
    with pytest.raises(SettingError, match=r"0\.\.1"):
        run(style(), MaskIntervention(torch.ones(1, 4), heads=[2]), toys.x, toys.text)
    with pytest.raises(SettingError, match="key columns"):
        run(style(), MaskIntervention(torch.ones(1, 1)), toys.x, toys.text, site=Site("0", 0, keys=[9]))
    with pytest.raises(SettingError, match="contiguous"):
        run(style(), MaskIntervention(torch.ones(1, 4)), toys.x, toys.text, rows=lambda batch: slice(0, None, 2))


def test_own_position_only_is_t_sequences_of_length_one(toys, style):
    module = style()
    got = run(module, OwnPositionOnly(), toys.x)
    alone = torch.cat([module(toys.x[:, t : t + 1]) for t in range(toys.T)], dim=1)
    assert torch.allclose(got, alone, atol=1e-6)
    with pytest.raises(PatchError, match="cache"):
        run(module, OwnPositionOnly(), toys.x, toys.text)


@pytest.mark.parametrize("name", ["Sdpa", "CausalSdpa"])
def test_frozen_history_matches_a_loop(toys, name):
    module = getattr(toys, name)(heads=2, kv_heads=1) if name == "Sdpa" else toys.CausalSdpa()
    clean, now = torch.randn(1, 5, 8), torch.randn(3, 5, 8)
    record = RecordKeysValues()
    assert torch.equal(run(module, record, clean), module(clean))
    assert record.recorded["0"][0].shape[0] == 1
    got = run(module, FrozenHistory(record.recorded), now)
    for t in range(5):
        seen = torch.cat([clean[:, :t].expand(3, -1, -1), now[:, t : t + 1]], dim=1)
        assert torch.allclose(got[:, t : t + 1].double(), toys.reference(module, now[:, t : t + 1], seen), atol=1e-6)


def test_frozen_history_of_the_same_run_is_the_causal_pass_and_passes_gradients(toys):
    module, record, x = toys.CausalSdpa(), RecordKeysValues(), toys.x.clone().requires_grad_()
    clean = run(module, record, x)
    got = run(module, FrozenHistory(record.recorded), x)
    assert torch.allclose(got, clean, atol=1e-6)
    (gradient,) = torch.autograd.grad(got[:, 3].sum(), x)
    assert gradient[:, 3].abs().min() > 0 and (gradient[:, :3] == 0).all()


def test_frozen_history_says_what_is_wrong(toys):
    with pytest.raises(PatchError, match="sdpa"):
        run(toys.Eager(), RecordKeysValues(), toys.x)
    with pytest.raises(PatchError, match="not recorded"):
        run(toys.Sdpa(), FrozenHistory({}), toys.x)
    record = RecordKeysValues()
    run(toys.Sdpa(), record, toys.x)
    with pytest.raises(PatchError, match="without a cache"):
        run(toys.Sdpa(), FrozenHistory(record.recorded), toys.x[:, :3])


def test_capture_changes_nothing_and_reports_the_prompt(toys, style):
    module, seen = style(), []
    site = Site("0", 0, keys=[2, 0], queries=slice(1, None))
    capture = CaptureProbabilities(lambda s, p: seen.append((s, p)))
    got = run(module, capture, toys.x, toys.text, rows=lambda batch: slice(1, 2), site=site)
    assert torch.equal(got, module(toys.x, toys.text))
    ((where, probabilities),) = seen
    q = module.to_q(toys.x).unflatten(-1, (2, -1)).transpose(1, 2).double()
    k = module.to_k(toys.text).unflatten(-1, (2, -1)).transpose(1, 2).double()
    want = (q @ k.transpose(-2, -1) / 2).softmax(-1)[1:, :, 1:][..., [2, 0]]
    assert where is site and not probabilities.requires_grad and probabilities.dtype == torch.float32
    assert torch.allclose(probabilities.double(), want, atol=1e-6)


def test_dropout_stays_dropout(toys):
    class Dropping(toys.Sdpa):
        def mix(self, q, k, v, attn_mask):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=1.0 - 1e-7)

    for shape in ((1, 4), (1, 5, 4)):
        assert (run(Dropping(), MaskIntervention(torch.ones(shape)), toys.x, toys.text) == 0).float().mean() > 0.9


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("shape", [(1, 4), (1, 5, 4)])
def test_torchs_own_multihead_attention(toys, batch_first, need_weights, shape):
    module = torch.nn.MultiheadAttention(8, 2, batch_first=batch_first).eval()
    x, text = (toys.x, toys.text) if batch_first else (toys.x.transpose(0, 1), toys.text.transpose(0, 1))
    mask = MaskIntervention(torch.zeros(shape))
    got, _ = run(module, mask, x, text, text, need_weights=need_weights, rows=lambda batch: slice(1, 2))
    clean, _ = module(x, text, text, need_weights=need_weights)
    got, clean = (got, clean) if batch_first else (got.transpose(0, 1), clean.transpose(0, 1))
    assert torch.allclose(got[0], clean[0], atol=1e-6)
    assert torch.allclose(got[1], module.out_proj.bias.expand(5, 8), atol=1e-6)


def test_three_dimensional_sdpa(toys):
    class Merged(toys.Sdpa):
        def mix(self, q, k, v, attn_mask):
            q, k, v = (t.flatten(0, 1) for t in (q, k, v))
            return torch.nn.functional.scaled_dot_product_attention(q, k, v).unflatten(0, (-1, 2))

    module, mask = Merged(), torch.rand(2, 5, 4)
    got = run(module, MaskIntervention(mask), toys.x, toys.text)
    assert torch.allclose(got.double(), toys.reference(module, toys.x, toys.text, mask[:, None]), atol=1e-6)


@pytest.mark.parametrize("keys", [4, 15, 16, 40])
@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_any_number_of_keys(toys, rule, keys):
    """Few keys are computed with the keys first: values and gradients are those of the formula all the same."""
    module, text, mask = toys.Sdpa(), torch.randn(toys.B, keys, toys.D), torch.rand(1, toys.T, keys)
    mask.requires_grad_()
    got = run(module, MaskIntervention(mask, rule), toys.x, text)
    want = toys.reference(module, toys.x, text, as_factor(mask), rule=rule)
    assert torch.allclose(got.double(), want, atol=1e-5)
    (gradient,) = torch.autograd.grad(got.square().sum(), mask)
    (expected,) = torch.autograd.grad(want.square().sum(), mask)
    assert torch.allclose(gradient, expected, atol=1e-4)
