"""Checks of a loaded MusicGen whose failure would otherwise be silent."""

from __future__ import annotations

from typing import Any

import torch

from xattnmask.errors import CheckpointError


def check_codes(model: Any, checkpoint: str) -> int:
    """The decoder's start token, after checking that decoder and codec speak of the same codes."""
    decoder, codec = model.decoder.config, model.audio_encoder.config
    if decoder.vocab_size != codec.codebook_size:
        raise CheckpointError(
            f"{checkpoint}: the decoder makes {decoder.vocab_size} codes, the codec knows {codec.codebook_size}"
        )
    codebooks, known = decoder.num_codebooks // decoder.audio_channels, len(model.audio_encoder.quantizer.layers)
    if codebooks > known:
        raise CheckpointError(f"{checkpoint}: the decoder makes {codebooks} codebooks, the codec knows {known}")
    start = model.generation_config.decoder_start_token_id
    start = decoder.bos_token_id if start is None else start
    if start != decoder.vocab_size:
        raise CheckpointError(f"{checkpoint}: its start token is {start}, not the padding token {decoder.vocab_size}")
    return int(start)


@torch.no_grad()
def check_causal(model: Any, checkpoint: str = "model") -> None:
    """Raise CheckpointError if a later code reaches an earlier hidden state of the decoder.

    A decoder put together from parts can be silently non-causal: its attention implementation is unset.
    """
    decoder = model.decoder
    columns = torch.zeros(2, decoder.num_codebooks, 4, dtype=torch.long, device=decoder.device)
    columns[1, :, 2:] = 1
    text = torch.zeros(2, 1, decoder.config.hidden_size, dtype=decoder.dtype, device=decoder.device)
    states = decoder.model(
        input_ids=columns.flatten(0, 1), encoder_hidden_states=text, use_cache=False
    ).last_hidden_state.float()[:, : text.shape[1] + 1]
    tolerance = 1e-4 if decoder.dtype == torch.float32 else 5e-2
    if not torch.allclose(states[0], states[1], atol=tolerance, rtol=0, equal_nan=True):
        raise CheckpointError(f"{checkpoint}: its decoder is not causal (set an attention implementation)")
