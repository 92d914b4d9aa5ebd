"""CLAP's text encoder, a RoBERTa whose pooled output is one vector for the whole prompt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xattnmask.sites import Site, Standins

PATH = "text_encoder.text_model.encoder.layer.{}.attention.self"


def ids(tokenizer: Any, text: str, rows: int, device: torch.device) -> dict[str, Tensor]:
    """Inputs of the encoder, ``rows`` times, without padding: padding is masked there, and changes rounding alone."""
    found = tokenizer([text], return_tensors="pt", truncation=True)
    names = ("input_ids", "attention_mask")
    return {name: found[name].to(device).expand(rows, -1) for name in names}


def text_features(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The text features [rows, width] of a ClapModel, as transformers 4 and 5 give them."""
    found = model.get_text_features(**inputs)
    features: Tensor = getattr(found, "pooler_output", found)
    return features


def sites(model: Any, standins: Standins) -> list[Site]:
    """The encoder's self-attentions; ``standins`` tell which of its keys stand for which token of the prompt."""
    layers = range(len(model.text_model.encoder.layer))
    return [Site(PATH.format(i), i, "text-encoder", "clap", standins=standins) for i in layers]
