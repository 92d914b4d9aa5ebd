"""Dia of transformers for xattnmask: speech from text that is read byte by byte, in nine codebooks with delays."""

import re

import numpy as np
import torch
from transformers import AutoProcessor, DiaForConditionalGeneration

from xattnmask import Adapter, CheckpointError, Generation, SettingError, Site, Token, hookimpl, seeded
from xattnmask.text import tokens_from_bytes


class Dia(Adapter):
    key, library = "dia", "transformers"

    def __init__(self, backbone, processor, checkpoint):
        self.backbone, self.processor, self.checkpoint = backbone, processor, checkpoint
        self.delays = np.array(backbone.config.delay_pattern)
        codec = processor.audio_tokenizer.config
        self.rate, self.frame = codec.sampling_rate, codec.hop_length / codec.sampling_rate
        self.max_tokens = backbone.config.encoder_config.max_position_embeddings
        longest = backbone.config.decoder_config.max_position_embeddings
        self.max_duration = (longest - self.delays.max() - 1) * self.frame

    @classmethod
    def from_checkpoint(cls, checkpoint, *, device="cpu", dtype="float32"):
        try:
            backbone = DiaForConditionalGeneration.from_pretrained(checkpoint, dtype=getattr(torch, dtype))
            processor = AutoProcessor.from_pretrained(checkpoint)
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"{checkpoint}: no Dia can be loaded from it: {error}".split("\n")[0]) from error
        return cls(backbone.to(device).eval().requires_grad_(False), processor, checkpoint)

    def tokenize(self, prompt):
        tokens = []
        for part in re.finditer(r"\[S([12])\]|.", prompt, re.DOTALL):  # a speaker's tag is one token, all else bytes
            tag = [Token(int(part[1]), part[0], *part.span())] if part[1] else None
            tokens += tag or tokens_from_bytes(part[0], start=part.start())
        return tuple(tokens)

    def sites(self, num_tokens):
        path, model = "model.{}.layers.{}.{}_attention", self.backbone.model
        decoder, encoder = range(len(model.decoder.layers)), range(len(model.encoder.layers))
        cross = [Site(path.format("decoder", i, "cross"), i, "cross", offset=position) for i in decoder]
        own = [Site(path.format("decoder", i, "self"), i, "self", "audio", offset=position) for i in decoder]
        return [*cross, *own, *(Site(path.format("encoder", i, "self"), i, "text-encoder") for i in encoder)]

    def _generate(self, prompt, tokens, *, seed, duration, guidance, **settings):
        if settings:
            raise SettingError(f"dia has no setting {', '.join(settings)}")
        columns = round(duration / self.frame) + int(self.delays.max()) + 1  # one more for the end of speech
        with self.guiding(guidance), seeded(seed, self.backbone.device):
            inputs = self.processor([prompt], padding=False).to(self.backbone.device)
            codes = self.backbone.generate(**inputs, guidance_scale=guidance, max_new_tokens=columns, do_sample=True)
        audio = self.processor.batch_decode(codes)[0].float().cpu().numpy()
        frames = round(audio.shape[-1] / self.rate / self.frame)  # fewer where the speech has ended
        return Generation(
            prompt=prompt, tokens=tokens, seed=seed, model=self.key, checkpoint=self.checkpoint, audio=audio,
            settings={"duration": duration, "guidance": guidance}, sample_rate=self.rate,
            times=np.arange(frames + 1) * self.frame, positions=np.add.outer(np.arange(frames), self.delays),
            replay={"codes": codes[:, : frames + self.delays.max()].cpu()},
        )  # fmt: skip

    def replay(self, generation, batch=1):
        ids = torch.tensor([[t.id for t in generation.tokens]], device=self.backbone.device).expand(batch, -1)
        codes = generation.replay["codes"].to(ids.device).repeat(batch, 1, 1)
        text = self.backbone.model.encoder(ids).last_hidden_state
        return self.backbone.model.decoder(codes, encoder_hidden_states=text).last_hidden_state


def position(arguments):
    return int(arguments["position_ids"][0, 0])  # of the first query; the rest is in the cache


@hookimpl
def xattnmask_adapter():
    return Dia
