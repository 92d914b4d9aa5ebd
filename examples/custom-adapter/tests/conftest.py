"""A tiny Dia of random weights with its processor and codec, saved as transformers saves them."""

from __future__ import annotations

import pytest
import torch
import transformers

torch.set_num_threads(1)
EOS, PAD, BOS, CODEBOOKS = 1024, 1025, 1026, 9  # the processor has these, and their delays, built in


def save_dia(folder):
    torch.manual_seed(0)
    heads = dict(num_attention_heads=2, num_key_value_heads=2, head_dim=8)
    encoder = transformers.DiaEncoderConfig(
        max_position_embeddings=64, num_hidden_layers=2, hidden_size=16, intermediate_size=16, vocab_size=256, **heads)
    decoder = transformers.DiaDecoderConfig(
        max_position_embeddings=64, num_hidden_layers=2, hidden_size=16, intermediate_size=16, vocab_size=1028,
        num_channels=CODEBOOKS, cross_num_attention_heads=2, cross_num_key_value_heads=2, cross_head_dim=8,
        cross_hidden_size=16, eos_token_id=EOS, pad_token_id=PAD, bos_token_id=BOS, **heads)
    model = transformers.DiaForConditionalGeneration(
        transformers.DiaConfig(encoder_config=encoder, decoder_config=decoder))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(20.0)
    model.generation_config = transformers.GenerationConfig(
        eos_token_id=EOS, pad_token_id=PAD, bos_token_id=BOS, decoder_start_token_id=BOS)
    model.save_pretrained(folder)
    codec = transformers.DacModel(transformers.DacConfig(
        encoder_hidden_size=4, downsampling_ratios=[2, 4], decoder_hidden_size=8, n_codebooks=CODEBOOKS,
        codebook_size=1024, codebook_dim=4, sampling_rate=200))
    codec.save_pretrained(folder / "codec")
    codec = transformers.DacModel.from_pretrained(folder / "codec")  # the processor names where it came from
    processor = transformers.DiaProcessor(
        transformers.DiaFeatureExtractor(sampling_rate=200, hop_length=8), transformers.DiaTokenizer(), codec)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return save_dia(tmp_path_factory.mktemp("dia"))
