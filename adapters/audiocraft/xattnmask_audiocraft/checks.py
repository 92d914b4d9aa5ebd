"""What this adapter can drive, checked before a model is built and after; each refusal says what the model is."""

from __future__ import annotations

from typing import Any

from xattnmask.errors import CheckpointError

from .conditions import DESCRIPTION

_TEXT = ("t5", "lut")


def check_config(config: Any, checkpoint: str) -> None:
    """Raise CheckpointError unless ``xp.cfg`` describes a model whose audio reads a T5's tokens by cross-attention."""

    def refuse(reason: str) -> CheckpointError:
        return CheckpointError(f"{checkpoint}: {reason}")

    try:
        kind, fuser, conditioners = config.lm_model, config.fuser, dict(config.conditioners)
        conditioners.pop("args", None)
        models = {name: conditioner.model for name, conditioner in conditioners.items()}
        prepended, crossed = list(fuser.prepend), list(fuser.cross)
    except Exception as error:
        raise refuse(f"its xp.cfg describes no language model of audiocraft ({error})".splitlines()[0]) from error
    if kind != "transformer_lm":
        raise refuse(f"holds a model of kind {kind!r}, which is not autoregressive: not supported")
    if prepended or DESCRIPTION not in crossed:
        raise refuse(
            f"its audio reads the text as a prefix (prepended: {', '.join(prepended) or 'nothing'}), not by "
            "cross-attention: not supported; for MusicGen-melody use model 'musicgen-melody' of xattnmask-transformers"
        )
    if others := sorted(name for name, model in models.items() if model not in _TEXT):
        raise refuse(f"it reads more than text ({', '.join(others)}): not supported")
    if models.get(DESCRIPTION) != "t5":
        raise refuse("its description is not read by a T5: not supported")
    if conditioners[DESCRIPTION].t5.get("normalize_text", False):
        raise refuse("it rewrites the text before reading it (normalize_text): not supported")


def check_model(model: Any, codec: Any, checkpoint: str) -> None:
    """Raise CheckpointError unless language model and codec speak of the same codes, and no code sees a later one."""
    if not all(layer.self_attn.causal for layer in model.transformer.layers):
        raise CheckpointError(f"{checkpoint}: its language model is not causal")
    if not model.pattern_provider.get_pattern(1).starts_with_special_token():
        raise CheckpointError(f"{checkpoint}: its codebook pattern has no start column: not supported")
    if model.card != codec.cardinality:
        raise CheckpointError(f"{checkpoint}: the model makes {model.card} codes, the codec knows {codec.cardinality}")
    if model.n_q > codec.num_codebooks:
        known = codec.num_codebooks
        raise CheckpointError(f"{checkpoint}: the model makes {model.n_q} codebooks, the codec knows {known}")


def check_tokenizer(conditioner: Any, checkpoint: str) -> None:
    """transformers makes an empty tokenizer, without a word, where a folder has no tokenizer files."""
    tokenizer, encoder = conditioner.t5_tokenizer, conditioner.t5.config
    if not tokenizer.is_fast:
        raise CheckpointError(f"{checkpoint}: its tokenizer gives no character offsets: pip install 'transformers>=5'")
    if not any(piece.strip("▁").isalpha() for piece in tokenizer.get_vocab()):
        raise CheckpointError(f"{checkpoint}: its tokenizer is missing or knows no words")
    if len(tokenizer) > encoder.vocab_size:
        raise CheckpointError(
            f"{checkpoint}: its tokenizer has {len(tokenizer)} tokens, its text encoder {encoder.vocab_size}"
        )
