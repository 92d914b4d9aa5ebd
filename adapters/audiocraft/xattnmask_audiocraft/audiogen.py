"""AudioGen: audiocraft's autoregressive language model over codes, whose cross-attention reads a T5's tokens.

audiocraft runs unmodified. The language model and the codec are driven directly, as its ``AudioGen`` class does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch

from xattnmask.adapter import Adapter
from xattnmask.errors import SettingError
from xattnmask.generation import Generation
from xattnmask.plugins.hookspecs import hookimpl
from xattnmask.seeding import seeded
from xattnmask.sites import Site
from xattnmask.sound import resample, with_channels
from xattnmask.text import Token

from .codes import encode
from .conditions import DESCRIPTION, Conditions, Tensors
from .loading import load
from .patterns import columns, emitters
from .sampling import Sampling
from .text_encoders import token_limit
from .tokens import tokenize
from .watching import Watch, position


class AudioGen(Adapter):
    """AudioGen of audiocraft, and every language model of its class whose text is cross-attended.

    ``generate`` takes the settings of :class:`Sampling` besides the common arguments.
    """

    key: ClassVar[str] = "audiogen"
    library: ClassVar[str] = "audiocraft"
    backbone: Any

    def __init__(self, backbone: Any, codec: Any, checkpoint: str) -> None:
        """Wrap an ``LMModel`` with its configuration as ``cfg``, and a ``CompressionModel``."""
        self.backbone, self.codec, self.checkpoint = backbone, codec, checkpoint
        self.conditions = Conditions(backbone)
        self.max_tokens = token_limit(self.conditions.conditioner)
        self.max_duration = float(backbone.cfg.dataset.segment_duration)
        self._watch = Watch(backbone, self.conditions.conditioner.t5)

    @classmethod
    def from_checkpoint(cls, checkpoint: str, *, device: str = "cpu", dtype: str = "float32") -> AudioGen:
        """Load a folder or a hub id; errors as :func:`xattnmask_audiocraft.loading.load`."""
        backbone, codec = load(checkpoint, device=device, dtype=dtype)
        return cls(backbone, codec, checkpoint)

    def tokenize(self, prompt: str) -> tuple[Token, ...]:
        return tokenize(self.conditions.conditioner.t5_tokenizer, prompt)

    def sites(self, num_tokens: int) -> Sequence[Site]:
        layers, path = range(len(self.backbone.transformer.layers)), "transformer.layers.{}.{}"
        first = self.conditions.first_key
        text = slice(first, first + num_tokens)
        cross = [Site(path.format(i, "cross_attention"), i, keys=text, offset=self._offset) for i in layers]
        own = [Site(path.format(i, "self_attn"), i, "self", stream="audio", offset=self._offset) for i in layers]
        blocks = range(len(self.conditions.conditioner.t5.encoder.block))
        path = f"condition_provider.conditioners.{DESCRIPTION}.t5.encoder.block.{{}}.layer.0.SelfAttention"
        return cross + own + [Site(path.format(i), i, "text-encoder") for i in blocks]

    def conditional_rows(self, batch: int) -> slice:
        """Guided generation stacks [prompt, nothing], or makes a call for each; in ``replay`` all rows have it."""
        return self._watch.rows(batch)

    def replay(self, generation: Generation, batch: int = 1) -> torch.Tensor:
        codes = self._columns(generation).expand(batch, -1, -1)
        return self._decode(codes, self.conditions.encode(generation.prompt, batch))

    def replay_isolated(self, generation: Generation, batch: int = 1) -> torch.Tensor:
        codes = self._columns(generation)
        positions = codes.shape[-1]
        rows = codes[0].T[..., None].repeat(batch, 1, 1)  # [batch * positions, K, 1]
        conditions = {
            name: (condition.expand(len(rows), -1, -1), mask.expand(len(rows), -1))
            for name, (condition, mask) in self.conditions.encode(generation.prompt).items()
        }
        return self._decode(rows, conditions).view(batch, positions, -1)

    @torch.no_grad()
    def token_embeddings(self, generation: Generation) -> torch.Tensor:
        return self.conditions.embeddings(generation.prompt)

    @torch.no_grad()
    def audio_embeddings(self, generation: Generation) -> torch.Tensor:
        return self._embed(self._columns(generation))[0]

    def _generate(self, prompt: str, tokens: tuple[Token, ...], *, seed: int, duration: float, guidance: float,
                  **settings: Any) -> Generation:
        if not 1 <= guidance < math.inf:
            raise SettingError(f"guidance must be at least 1 (no guidance), not {guidance:g}")
        frames, sampling = self._frames(duration), Sampling.of(settings)
        with seeded(seed, self._device), self._watch.generating(), self._guidance(guidance):
            codes = self.backbone.generate(
                conditions=[self.conditions.attributes(prompt)], max_gen_len=frames, cfg_coef=guidance,
                **sampling.arguments(self.backbone.card),
            )
        with torch.no_grad():
            audio = self.codec.decode(codes)[0].float().cpu().numpy()
        return Generation(
            prompt=prompt, tokens=tokens, seed=seed, model=self.key, checkpoint=self.checkpoint,
            audio=np.squeeze(audio), sample_rate=self.codec.sample_rate,
            settings={"duration": duration, "guidance": guidance, **asdict(sampling)},
            times=np.arange(frames + 1) * (audio.shape[-1] / frames / self.codec.sample_rate),
            positions=emitters(self._pattern(frames)),
            replay={"codes": codes[0].cpu()},
        )

    @torch.no_grad()
    def _encode(self, prompt: str, tokens: tuple[Token, ...], audio: np.ndarray, sample_rate: int) -> Generation:
        rate, channels = self.codec.sample_rate, self.codec.channels
        rows = with_channels(resample(audio, sample_rate, rate), channels)
        codes = encode(self.codec, rows, self.backbone.n_q)[:, : self._frames(self.max_duration)]
        frames = codes.shape[1]
        return Generation(
            prompt=prompt, tokens=tokens, seed=0, model=self.key, checkpoint=self.checkpoint,
            audio=np.squeeze(rows, 0) if channels == 1 else rows, sample_rate=rate,
            settings={"duration": frames / self.codec.frame_rate},
            times=np.arange(frames + 1) / self.codec.frame_rate,
            positions=emitters(self._pattern(frames)),
            replay={"codes": codes.cpu()}, encoded=True,
        )

    def _decode(self, codes: torch.Tensor, conditions: Tensors) -> torch.Tensor:
        """Final hidden states [batch, positions, width] over columns of codes [batch, K, positions].

        This is ``LMModel.forward`` without its heads.
        """
        model = self.backbone
        audio, text = model.fuser(self._embed(codes), conditions)
        states: torch.Tensor = model.transformer(audio, cross_attention_src=text)
        return states if model.out_norm is None else model.out_norm(states)

    def _embed(self, codes: torch.Tensor) -> torch.Tensor:
        """Sum over codebooks of the embeddings of columns of codes [batch, K, positions]."""
        return torch.stack([table(codes[:, k]) for k, table in enumerate(self.backbone.emb)]).sum(0)

    def _columns(self, generation: Generation) -> torch.Tensor:
        """The codes of ``generation`` as the model reads them, [1, K, positions]."""
        codes = generation.replay["codes"].to(self._device)
        return columns(self._pattern(codes.shape[-1]), codes, self.backbone.special_token_id)[None]

    def _pattern(self, frames: int) -> Any:
        return self.backbone.pattern_provider.get_pattern(frames)

    def _frames(self, duration: float) -> int:
        frames = int(duration * self.codec.frame_rate + 0.5)
        if frames < 1:
            least = 1 / self.codec.frame_rate
            raise SettingError(f"duration must be at least {least:g} s with this model, not {duration:g}")
        return frames

    def _offset(self, _: Mapping[str, Any]) -> int:
        """Position of the first query; the model keeps it, not its attention modules."""
        return position(self.backbone)

    @contextmanager
    def _guidance(self, guidance: float) -> Iterator[None]:
        """audiocraft 1.3 passes ``cfg_coef`` on to guidance in one call alone; that in two reads it off the model."""
        before, self.backbone.cfg_coef = self.backbone.cfg_coef, guidance
        try:
            yield
        finally:
            self.backbone.cfg_coef = before

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.backbone.emb[0].weight.device
        return device


@hookimpl
def xattnmask_adapter() -> type[Adapter]:
    """The adapter of key ``audiogen``."""
    return AudioGen
