"""What the adapters of all diffusion pipelines share: generating with a recorded trajectory, and running it again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from xattnmask.devices import input_device
from xattnmask.diffusion import Denoised, DiffusionAdapter
from xattnmask.errors import SettingError
from xattnmask.generation import Generation
from xattnmask.text import Token

from . import schedules
from .latents import by_column
from .loading import load, modules
from .trajectory import Recorder

Phase = Literal["replay", "encode-negative", "denoise-guided"]


@dataclass(frozen=True)
class DenoisingSettings:
    """What ``generate`` takes besides the common arguments.

    Attributes:
        steps: denoising steps.
        negative_prompt: what the unconditional branch of guidance is given; the pipeline's own default if None.
        scheduler: class name of a scheduler of diffusers, with the checkpoint's noise schedule; its own by default.
        eta: noise added by DDIM, from 0 (none) to 1.
        waveforms: how many are made in one batch.
        waveform: which of them is kept, from 0.
    """

    steps: int
    negative_prompt: str | None = None
    scheduler: str | None = None
    eta: float = 0.0
    waveforms: int = 1
    waveform: int = 0

    @classmethod
    def of(cls, given: Mapping[str, Any], steps: int) -> DenoisingSettings:
        """From the settings a user gave; raises SettingError if one is unknown or out of range."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(given) - set(known)):
            raise SettingError(f"unknown settings {', '.join(unknown)}: this model takes {', '.join(known)}")
        settings = cls(**{"steps": steps, **given})
        for name, least in (("steps", 1), ("waveforms", 1), ("waveform", 0)):
            value = getattr(settings, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingError(f"{name} must be a whole number, at least {least}, not {value!r}")
        if settings.waveform >= settings.waveforms:
            raise SettingError(f"waveform {settings.waveform} of {settings.waveforms}: they are counted from 0")
        if not 0 <= settings.eta <= 1:
            raise SettingError(f"eta must be from 0 to 1, not {settings.eta}")
        if not isinstance(settings.negative_prompt, (str, type(None))):
            raise SettingError(f"negative_prompt must be a string, not {settings.negative_prompt!r}")
        return settings


class PipelineAdapter(DiffusionAdapter):
    """Drives a text-to-audio pipeline of diffusers; a subclass says how its text is encoded and where it is read."""

    library: ClassVar[str] = "diffusers"
    pipeline_class: ClassVar[Any]
    denoiser_name: ClassVar[str]
    """Name of the denoising network among the pipeline's parts."""
    default_steps: ClassVar[int]
    backbone: Any
    column: float
    """Seconds of one column of the latents."""

    def __init__(self, pipeline: Any, checkpoint: str) -> None:
        """Wrap a loaded pipeline."""
        self.pipeline, self.checkpoint = pipeline, checkpoint
        self.backbone = modules(pipeline)
        self.scheduler = pipeline.scheduler
        self.latent_shape: tuple[int, ...] = ()
        """Shape of the latents that the denoiser gets now, without the batch."""
        self.duration = 0.0
        """Seconds of the audio that is made or replayed now."""
        self._phase: Phase = "replay"

    @classmethod
    def from_checkpoint(cls, checkpoint: str, *, device: str = "cpu", dtype: str = "float32") -> PipelineAdapter:
        """Load a folder or a hub id as diffusers does."""
        return cls(load(cls.pipeline_class, checkpoint, device=device, dtype=dtype), checkpoint)

    @abstractmethod
    def encode_text(self, prompt: str, rows: int, given: Mapping[str, Any]) -> dict[str, Tensor]:
        """The denoiser's inputs that carry ``prompt``, by keyword, each with ``rows`` rows.

        ``given`` are the inputs it had, for what they hold besides the text.
        """

    @abstractmethod
    def pipeline_text(self, prompt: str, negative: str | None, num_tokens: int, guided: bool) -> dict[str, Any]:
        """Arguments of the pipeline that hand over the encoded prompt of ``num_tokens`` tokens, and a negative one.

        ``negative`` is None where the pipeline's own default is wanted, and not needed unless ``guided``. A negative
        prompt is encoded inside :meth:`encoding_negative`.
        """

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """Samples a second of the audio."""

    @property
    def denoiser(self) -> Any:
        """The denoising network."""
        return self.backbone[self.denoiser_name]

    @property
    def device(self) -> torch.device:
        """Where the denoiser is."""
        return input_device(self.denoiser)

    def duration_arguments(self, duration: float) -> dict[str, Any]:
        """Arguments of the pipeline that ask for ``duration`` seconds."""
        return {"audio_length_in_s": duration}

    def times(self, columns: int, duration: float) -> np.ndarray:
        """Edges in seconds of those of the latents' columns that are heard, at most [columns + 1]."""
        edges = np.arange(columns + 1) * self.column
        heard = edges[:-1] < duration - 1e-9
        found: np.ndarray = np.append(edges[:-1][heard], min(duration, edges[-1]))
        return found

    def conditional_rows(self, batch: int) -> slice:
        """Guided denoising stacks [unconditional, conditional]; a negative prompt is encoded apart."""
        if self._phase == "encode-negative":
            return slice(0, 0)
        return slice(batch // 2, batch) if self._phase == "denoise-guided" else slice(0, batch)

    def _generate(self, prompt: str, tokens: tuple[Token, ...], *, seed: int, duration: float, guidance: float,
                  **given: Any) -> Generation:
        if not 1 <= guidance < float("inf"):
            raise SettingError(f"guidance must be at least 1 (no guidance), not {guidance:g}")
        settings = DenoisingSettings.of(given, self.default_steps)
        guided, used, self.duration = guidance > 1, self._used_scheduler(settings), duration
        with torch.no_grad():
            text = self.pipeline_text(prompt, settings.negative_prompt if guided else None, len(tokens), guided)
        recorder = Recorder(guided=guided, waveform=settings.waveform, on_call=self._at_call,
                            replace=partial(self._encode_anew, prompt) if self.encodes_by_step else None)
        with self._recording(recorder, guided, used):
            audios = self.pipeline(
                **text, **self.duration_arguments(duration), guidance_scale=float(guidance),
                num_inference_steps=settings.steps, num_waveforms_per_prompt=settings.waveforms,
                generator=torch.Generator("cpu").manual_seed(seed), output_type="np", eta=settings.eta,
            ).audios
        audio = np.squeeze(np.asarray(audios[settings.waveform], dtype=np.float32))
        latents = torch.cat(recorder.latents)
        times = self.times(latents.shape[2], duration)
        alpha, sigma = schedules.levels(used, torch.tensor(recorder.timesteps, dtype=torch.float64))
        return Generation(
            prompt=prompt, tokens=tokens, seed=seed, model=self.key, checkpoint=self.checkpoint,
            audio=audio, sample_rate=self.sample_rate,
            settings={"duration": duration, "guidance": guidance, **asdict(settings)},
            times=times, positions=np.arange(len(times) - 1)[:, None], noise_levels=sigma.numpy(),
            replay={
                "latents": latents, "timesteps": torch.tensor(recorder.timesteps), "alpha": alpha, "sigma": sigma,
                "kind": schedules.prediction_kind(used),
                "inputs": recorder.conditional, "unconditional": recorder.unconditional,
            },
        )  # fmt: skip

    def denoise(self, generation: Generation, steps: Sequence[int], batch: int = 1, *, text: bool = True) -> Denoised:
        kept, chosen, self.duration = generation.replay, torch.as_tensor(list(steps)), generation.settings["duration"]
        rows, branch = batch * len(chosen), kept["inputs" if text else "unconditional"]
        latents = kept["latents"][chosen].to(self.device)
        self.latent_shape = tuple(latents.shape[1:])
        inputs = {name: _rows(value, rows, self.device) for name, value in branch.items()}
        if text:
            inputs |= self.encode_text(generation.prompt, rows, inputs)
        timesteps = kept["timesteps"][chosen].to(self.device)
        copies = latents.repeat(batch, *[1] * (latents.ndim - 1))
        prediction = self.denoiser(copies, timesteps.repeat(batch), **{**inputs, "return_dict": False})[0]
        heard = len(generation.positions)
        return Denoised(
            latents=by_column(latents)[:, :heard],
            prediction=by_column(prediction)[:, :heard].reshape(batch, len(chosen), heard, -1),
            alpha=kept["alpha"][chosen], sigma=kept["sigma"][chosen], kind=kept["kind"],
        )

    @contextmanager
    def encoding_negative(self) -> Iterator[None]:
        """While open, no row of a text encoder is conditional."""
        with self._during("encode-negative"):
            yield

    def _encode_anew(self, prompt: str, rows: int, given: Mapping[str, Any]) -> dict[str, Tensor]:
        """The text's inputs for the denoiser's next call, which is about to be made."""
        with self._during("replay"):
            return self.encode_text(prompt, rows, given)

    def _at_call(self, call: int) -> None:
        self.step = call

    @contextmanager
    def _recording(self, recorder: Recorder, guided: bool, scheduler: Any) -> Iterator[None]:
        hook = self.denoiser.register_forward_pre_hook(self._noting_shape(recorder), with_kwargs=True)
        before, self.pipeline.scheduler = self.pipeline.scheduler, scheduler
        try:
            with self._during("denoise-guided" if guided else "replay"):
                yield
        finally:
            hook.remove()
            self.pipeline.scheduler = before
            self.step = 0

    def _noting_shape(self, recorder: Recorder) -> Any:
        def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            self.latent_shape = tuple(args[0].shape[1:])
            return recorder(module, args, kwargs)

        return hook

    @contextmanager
    def _during(self, phase: Phase) -> Iterator[None]:
        before, self._phase = self._phase, phase
        try:
            yield
        finally:
            self._phase = before

    def _used_scheduler(self, settings: DenoisingSettings) -> Any:
        if settings.scheduler is None:
            return self.scheduler
        return schedules.build(settings.scheduler, self.scheduler.config)


def _rows(value: Any, rows: int, device: torch.device) -> Any:
    """A recorded input with as many rows as the batch has."""
    if not isinstance(value, Tensor):
        return value
    value = value.to(device)
    return value.expand(rows, *value.shape[1:]) if value.ndim and len(value) == 1 else value
