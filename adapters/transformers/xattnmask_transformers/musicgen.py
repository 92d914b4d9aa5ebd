"""MusicGen: an autoregressive decoder whose cross-attention reads the text.

This is also the example of how to write an adapter: load, tokenize, name the sites, generate, replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch
import transformers
from transformers import LogitsProcessorList, StoppingCriteriaList

from xattnmask.adapter import Adapter
from xattnmask.devices import input_device
from xattnmask.errors import SettingError
from xattnmask.generation import Generation
from xattnmask.plugins.hookspecs import hookimpl
from xattnmask.seeding import seeded
from xattnmask.sites import Site
from xattnmask.sound import resample, with_channels
from xattnmask.text import Token

from .caches import cross_offset, self_offset
from .checks import check_causal, check_codes
from .codes import encode
from .delay import delay, delays, emitters, undelay
from .loading import load, token_limit
from .sampling import FiniteLogits, Recorder, Sampling
from .tokens import tokenize

DEFAULT_DURATION = 30.0
"""Seconds MusicGen was trained on; for checkpoints whose generation config has no length of its own."""


class MusicGen(Adapter):
    """MusicGen of transformers, mono or stereo.

    ``generate`` takes the settings of :class:`Sampling` besides the common arguments.
    """

    key: ClassVar[str] = "musicgen"
    library: ClassVar[str] = "transformers"
    model_class: ClassVar[Any] = transformers.MusicgenForConditionalGeneration
    backbone: Any

    def __init__(self, backbone: Any, tokenizer: Any, checkpoint: str) -> None:
        """Wrap a loaded model; raises CheckpointError if its parts do not fit or its decoder is not causal."""
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.checkpoint = checkpoint
        self.start = check_codes(backbone, checkpoint)
        check_causal(backbone, checkpoint)
        self.delays = delays(backbone.decoder.num_codebooks, backbone.decoder.config.audio_channels)
        codec = backbone.audio_encoder.config
        self.frame = codec.hop_length / codec.sampling_rate
        self.max_tokens = token_limit(tokenizer, backbone.text_encoder.config)
        self.max_duration = self._longest() * self.frame

    @classmethod
    def from_checkpoint(cls, checkpoint: str, *, device: str = "cpu", dtype: str = "float32") -> MusicGen:
        """Load a folder or a hub id; the audio codec stays in float32, where other dtypes change its codes."""
        backbone, tokenizer = load(cls.model_class, checkpoint, device=device, dtype=dtype)
        return cls(backbone, tokenizer, checkpoint)

    def tokenize(self, prompt: str) -> tuple[Token, ...]:
        return tokenize(self.tokenizer, prompt)

    def sites(self, num_tokens: int) -> Sequence[Site]:
        layers = range(len(self.backbone.decoder.model.decoder.layers))
        path = "decoder.model.decoder.layers.{}.{}"
        cross = [Site(path.format(i, "encoder_attn"), i, "cross", offset=cross_offset(i)) for i in layers]
        own = [Site(path.format(i, "self_attn"), i, "self", stream="audio", offset=self_offset(i)) for i in layers]
        return cross + own + self._encoder_sites()

    def conditional_rows(self, batch: int) -> slice:
        """Guided generation stacks [conditional, null] in the decoder, and runs the text encoder on one row."""
        return slice(0, max(batch // 2, 1)) if self.guided else slice(0, batch)

    def replay(self, generation: Generation, batch: int = 1) -> torch.Tensor:
        ids = torch.tensor([[token.id for token in generation.tokens]], device=self._device).expand(batch, -1)
        columns = delay(generation.replay["codes"].to(ids.device), self.delays, self.start).repeat(batch, 1)
        text = self.backbone.text_encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return self._decode(columns, self._project(text))

    def replay_isolated(self, generation: Generation, batch: int = 1) -> torch.Tensor:
        ids = torch.tensor([[token.id for token in generation.tokens]], device=self._device)
        columns = delay(generation.replay["codes"].to(ids.device), self.delays, self.start)
        positions = columns.shape[-1]
        text = self._project(self.backbone.text_encoder(input_ids=ids).last_hidden_state)
        rows = columns.T.reshape(-1, 1).repeat(batch, 1)  # [batch * positions * K, 1]
        return self._decode(rows, text.expand(batch * positions, -1, -1)).view(batch, positions, -1)

    @torch.no_grad()
    def token_embeddings(self, generation: Generation) -> torch.Tensor:
        ids = torch.tensor([[token.id for token in generation.tokens]], device=self._device)
        return self._project(self.backbone.text_encoder(input_ids=ids).last_hidden_state)[0]

    @torch.no_grad()
    def audio_embeddings(self, generation: Generation) -> torch.Tensor:
        columns = delay(generation.replay["codes"].to(self._device), self.delays, self.start)
        tables = self.backbone.decoder.model.decoder.embed_tokens
        return torch.stack([table(codes) for table, codes in zip(tables, columns, strict=True)]).sum(0)

    def _generate(self, prompt: str, tokens: tuple[Token, ...], *, seed: int, duration: float, guidance: float,
                  **settings: Any) -> Generation:
        frames, sampling, recorder = self._frames(duration), Sampling.of(settings), Recorder()
        ids = torch.tensor([[token.id for token in tokens]], device=self._device)
        with seeded(seed, ids.device), self.guiding(guidance):
            audio = self.backbone.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), guidance_scale=float(guidance),
                max_new_tokens=frames + int(self.delays.max()), use_cache=True, **sampling.arguments(),
                pad_token_id=self.start, bos_token_id=self.start, decoder_start_token_id=self.start, eos_token_id=None,
                stopping_criteria=StoppingCriteriaList([recorder]),
                logits_processor=LogitsProcessorList([FiniteLogits()]),
            )
        return Generation(
            prompt=prompt, tokens=tokens, seed=seed, model=self.key, checkpoint=self.checkpoint,
            audio=np.squeeze(audio[0].float().cpu().numpy()),
            sample_rate=self.backbone.audio_encoder.config.sampling_rate,
            settings={"duration": duration, "guidance": guidance, **asdict(sampling)},
            times=np.arange(frames + 1) * self.frame,
            positions=emitters(frames, self.delays),
            replay={"codes": undelay(recorder.columns, self.delays, frames).cpu()},
        )

    @torch.no_grad()
    def _encode(self, prompt: str, tokens: tuple[Token, ...], audio: np.ndarray, sample_rate: int) -> Generation:
        codec = self.backbone.audio_encoder
        rate, channels = codec.config.sampling_rate, self.backbone.decoder.config.audio_channels
        rows = with_channels(resample(audio, sample_rate, rate), channels)
        codes = encode(codec, rows, self.backbone.decoder.config.num_codebooks // channels)[:, : self._longest()]
        frames, least = codes.shape[1], max(int(self.delays.max()), 1)
        if frames < least:
            raise SettingError(f"the audio must have at least {least * self.frame:g} s with this model")
        return Generation(
            prompt=prompt, tokens=tokens, seed=0, model=self.key, checkpoint=self.checkpoint,
            audio=np.squeeze(rows, 0) if channels == 1 else rows, sample_rate=rate,
            settings={"duration": frames * self.frame},
            times=np.arange(frames + 1) * self.frame,
            positions=emitters(frames, self.delays),
            replay={"codes": codes.cpu()}, encoded=True,
        )

    @property
    def _device(self) -> torch.device:
        return input_device(self.backbone)

    def _project(self, text: torch.Tensor) -> torch.Tensor:
        """Text states in the decoder's width."""
        project = getattr(self.backbone, "enc_to_dec_proj", None)
        return text if project is None else project(text)

    def _decode(self, columns: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Final hidden states [batch, positions, width] of the decoder over ``columns`` [batch * K, positions]."""
        decoder = self.backbone.decoder.model
        states: torch.Tensor = decoder(input_ids=columns, encoder_hidden_states=text, use_cache=False).last_hidden_state
        return states

    def _encoder_sites(self) -> list[Site]:
        blocks = range(len(self.backbone.text_encoder.encoder.block))
        path = "text_encoder.encoder.block.{}.layer.0.SelfAttention"
        return [Site(path.format(i), i, "text-encoder") for i in blocks]

    def _longest(self) -> int:
        """Frames of the longest audio: the checkpoint's own maximal length, less the start and the delays."""
        length = self.backbone.generation_config.max_length or 0
        own = length - int(self.delays.max()) - 1
        return own if length > 20 else round(DEFAULT_DURATION / self.frame)  # 20 is transformers' own default

    def _frames(self, duration: float) -> int:
        """Frames in ``duration`` seconds; transformers gives up the delay pattern where there are too few."""
        frames, least = int(duration / self.frame + 0.5), max(int(self.delays.max()), 1)
        if frames < least:
            raise SettingError(f"duration must be at least {least * self.frame:g} s with this model, not {duration:g}")
        return frames


@hookimpl
def xattnmask_adapter() -> type[Adapter]:
    """The adapter of key ``musicgen``."""
    return MusicGen
