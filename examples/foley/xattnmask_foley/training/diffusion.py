"""The diffusion models' stages, put together: what each needs of the ones before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
from diffusers import AutoencoderKL
from transformers import ClapModel, SpeechT5HifiGan, T5Config, T5EncoderModel

from . import autoencoder, clap, conditions, denoiser, omission, text, vocoder
from .corpus import TRAIN, captions
from .export import rounded
from .tokenizer import build as build_t5
from .tokenizer import build_roberta

STEPS = {"foley-audioldm2": 11_500, "foley-audioldm": 6000}
SEEDS = {"foley-audioldm2": 9, "foley-audioldm": 10}


def train_autoencoder(work: Path) -> AutoencoderKL:
    """The autoencoder, in half precision as it is shipped, its decoder trained on alone at the end."""
    return rounded(autoencoder.refine(work / "decoder", rounded(autoencoder.train(work / "autoencoder"))))


def train_vocoder(work: Path) -> SpeechT5HifiGan:
    """The vocoder of what the autoencoder makes."""
    return rounded(vocoder.train(work / "vocoder", train_autoencoder(work)))


def train_clap(work: Path) -> ClapModel:
    """CLAP, both halves."""
    return rounded(clap.train(work / "clap"))


def train_texts(work: Path) -> conditions.TwoTexts:
    """T5, and GPT-2 on CLAP and T5: the text side of AudioLDM2."""
    tokenizer = build_t5()
    t5 = T5EncoderModel(T5Config(**text.config(tokenizer)))
    text.train(work / "t5", t5, tokenizer, text.STEPS)
    omission.omit(work / "omission", t5, tokenizer)
    return rounded(conditions.train(work / "gpt2", train_clap(work), rounded(t5)))


def train_audioldm2(work: Path) -> diffusers.AudioLDM2Pipeline:
    """The pipeline of AudioLDM2."""
    texts = train_texts(work)
    network = _denoiser(work, "foley-audioldm2", denoiser.of_two_texts(texts.t5.config.d_model), texts)
    return audioldm2(texts, network, train_autoencoder(work), train_vocoder(work))


def train_audioldm(work: Path) -> diffusers.AudioLDMPipeline:
    """The pipeline of AudioLDM."""
    heard = train_clap(work)
    network = _denoiser(work, "foley-audioldm", denoiser.of_pooled_text(), conditions.PooledText(heard))
    return audioldm(heard, network, train_autoencoder(work), train_vocoder(work))


def audioldm2(
    texts: conditions.TwoTexts, unet: Any, vae: AutoencoderKL, vocoder: SpeechT5HifiGan
) -> diffusers.AudioLDM2Pipeline:
    """A pipeline of these parts."""
    return diffusers.AudioLDM2Pipeline(
        vae=vae, text_encoder=texts.clap, text_encoder_2=texts.t5, projection_model=texts.projection,
        language_model=texts.language, tokenizer=texts.roberta, tokenizer_2=texts.tokenizer, unet=unet,
        feature_extractor=clap.feature_extractor(), scheduler=denoiser.scheduler(), vocoder=vocoder,
    )  # fmt: skip


def audioldm(heard: ClapModel, unet: Any, vae: AutoencoderKL, vocoder: SpeechT5HifiGan) -> diffusers.AudioLDMPipeline:
    """A pipeline of these parts."""
    return diffusers.AudioLDMPipeline(
        vae=vae, text_encoder=clap.text_model(heard), tokenizer=build_roberta(), unet=unet,
        scheduler=denoiser.scheduler(), vocoder=vocoder,
    )  # fmt: skip


def _denoiser(work: Path, name: str, network: Any, condition: conditions.Condition) -> Any:
    latents = autoencoder.encoded(work / "latents.pt", train_autoencoder(work), TRAIN, denoiser.POOL)
    said = [caption for caption, _ in captions(TRAIN, denoiser.POOL)]
    return denoiser.train(work / name, network, condition, said, latents, steps=STEPS[name], seed=SEEDS[name])
