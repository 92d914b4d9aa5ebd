"""The same against a real library: a tiny random MusicGen, with sdpa and eager attention."""

import pytest
import torch

from xattnmask.patching import capture_attention, frozen_history, no_history, patch, record_history
from xattnmask.sites import Site

transformers = pytest.importorskip("transformers")

TOKENS, STEPS = 3, 6


@pytest.fixture(params=["sdpa", "eager"])
def musicgen(request, toys):
    """A model and what ``patch`` needs of an adapter; 2 layers, width 16, random weights."""
    from transformers import EncodecConfig, MusicgenConfig, MusicgenDecoderConfig, T5Config

    torch.manual_seed(0)
    text = T5Config(vocab_size=20, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2, attn_implementation="eager")
    codec = EncodecConfig(
        num_filters=2, hidden_size=4, upsampling_ratios=[2, 2], codebook_size=8, codebook_dim=4,
        num_lstm_layers=1, target_bandwidths=[240.0],  # 4 codebooks
    )  # fmt: skip
    decoder = MusicgenDecoderConfig(
        vocab_size=8, num_hidden_layers=2, ffn_dim=16, num_attention_heads=2, hidden_size=16, num_codebooks=4,
        pad_token_id=8, bos_token_id=8, max_position_embeddings=64,
    )  # fmt: skip
    config = MusicgenConfig(text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict())
    model = transformers.MusicgenForConditionalGeneration(config).eval()
    model.decoder.set_attn_implementation(request.param)
    layers = "decoder.model.decoder.layers"
    sites = [Site(f"{layers}.{i}.encoder_attn", i) for i in range(2)]
    sites += [Site(f"{layers}.{i}.self_attn", i, role="self") for i in range(2)]
    adapter = toys.Model(model, sites)
    adapter.attention = request.param
    return adapter


def decode(adapter, batch=1):
    """Hidden states [batch, STEPS, 16] of fixed codes under a fixed prompt."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 8, (4, STEPS), generator=generator).repeat(batch, 1)
    states = torch.randn(1, TOKENS, 16, generator=generator).expand(batch, -1, -1).to(adapter.backbone.dtype)
    decoder = adapter.backbone.decoder.model.decoder
    return decoder(input_ids=codes, encoder_hidden_states=states, use_cache=False).last_hidden_state


@pytest.mark.parametrize("shape", [(1, TOKENS), (1, STEPS, TOKENS)])
@pytest.mark.parametrize("rule", ["scale", "bias"])
def test_ones_keep_zeros_change(musicgen, rule, shape):
    clean = decode(musicgen)
    with patch(musicgen, torch.ones(shape), rule=rule):
        assert torch.allclose(decode(musicgen), clean, atol=1e-6)
    with patch(musicgen, torch.zeros(shape), rule=rule):
        assert not torch.allclose(decode(musicgen), clean, atol=1e-3)
    assert torch.equal(decode(musicgen), clean)


@pytest.mark.parametrize("shape", [(1, TOKENS), (1, STEPS, TOKENS)])
def test_null_rows_keep_every_bit_and_gradients_match_differences(musicgen, shape):
    clean = decode(musicgen, batch=2)
    mask = torch.full(shape, 0.5, requires_grad=True)
    with patch(musicgen, mask, rows=lambda batch: slice(0, batch // 2)):
        got = decode(musicgen, batch=2)
    assert torch.equal(got[1], clean[1])
    weight = torch.randn(got.shape, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad((got * weight).sum(), mask)
    musicgen.backbone.double()
    direction = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    values = []
    for step in (1e-4, -1e-4):
        with patch(musicgen, mask.detach().double() + step * direction.double(), rows=lambda batch: slice(0, 1)):
            values.append(float((decode(musicgen, batch=2) * weight).sum().detach()))
    difference = (values[0] - values[1]) / 2e-4
    assert float((gradient * direction).sum()) == pytest.approx(difference, rel=1e-3, abs=1e-4)


def test_generation_under_a_mask_with_guidance(musicgen):
    """Through ``generate``: the cache, guidance, and a mask that follows positions; ones change nothing."""
    model = musicgen.backbone
    offset = [0]
    sites = musicgen.sites(TOKENS)[:2]

    def position(arguments):
        cache = arguments.get("past_key_values", arguments.get("cache"))
        offset[0] = cache.self_attention_cache.get_seq_length(0) - 1 if cache is not None else 0
        return max(offset[0], 0)

    cached = type(musicgen)(model, [Site(s.path, s.layer, offset=position) for s in sites])
    prompt = {"input_ids": torch.tensor([[3, 4, 1]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}

    def generate():
        return model.generate(**prompt, max_new_tokens=8, do_sample=False, guidance_scale=3.0)

    clean = generate()
    with patch(cached, torch.ones(1, 8, TOKENS), rows=lambda batch: slice(0, batch // 2)) as record:
        assert torch.allclose(generate(), clean)
    assert record.forwards[sites[0].path] >= 8 and offset[0] > 0


def test_contexts(musicgen):
    if musicgen.attention == "eager":
        return
    clean = decode(musicgen)
    with record_history(musicgen, TOKENS) as recorded:
        assert torch.equal(decode(musicgen), clean)
    with frozen_history(musicgen, TOKENS, recorded):
        assert torch.allclose(decode(musicgen, batch=3), clean.expand(3, -1, -1), atol=1e-6)
    with patch(musicgen, torch.ones(1, STEPS, TOKENS)), no_history(musicgen, TOKENS):
        alone = decode(musicgen)
    assert torch.allclose(alone[:, 0], clean[:, 0], atol=1e-6)
    assert not torch.allclose(alone[:, 1:], clean[:, 1:], atol=1e-3)


def test_captured_attention_is_the_models_own(musicgen):
    seen = []
    with capture_attention(musicgen, lambda site, p: seen.append(p), num_tokens=TOKENS):
        decode(musicgen)
    assert [tuple(p.shape) for p in seen] == [(1, 2, STEPS, TOKENS)] * 2
    assert all(torch.allclose(p.sum(-1), torch.ones(1, 2, STEPS), atol=1e-6) for p in seen)
