"""What the adapters of all diffusion pipelines share: generating with a recorded trajectory, and running it again."""

from __future__ import annotations

import copy
import inspect
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from xattnmask.devices import input_device
from xattnmask.diffusion import Denoised, DiffusionAdapter
from xattnmask.errors import SettingError, XattnmaskError
from xattnmask.generation import Generation
from xattnmask.sound import resample, with_channels
from xattnmask.text import Token

from . import schedules
from .latents import by_column
from .loading import load, modules
from .settings import DenoisingSettings
from .trajectory import Enough, Recorder, Replace

Phase = Literal["replay", "encode-negative", "denoise-guided"]


class PipelineAdapter(DiffusionAdapter):
    """Drives a text-to-audio pipeline of diffusers; a subclass says how its text is encoded and where it is read."""

    library: ClassVar[str] = "diffusers"
    pipeline_class: ClassVar[Any]
    denoiser_name: ClassVar[str]
    """Name of the denoising network among the pipeline's parts."""
    default_steps: int
    """Denoising steps where none are asked for."""
    backbone: Any
    column: float
    """Seconds of one column of the latents."""
    channels: int = 1
    """Of the audio."""

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

    @abstractmethod
    def encode_sound(self, rows: np.ndarray, columns: int) -> Tensor:
        """The clean latents [1, ...], with ``columns`` along time, of a sound float32 [channels, samples] at our rate.

        Silence stands for what the sound lacks. Called without gradients.
        """

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
        used = self._used_scheduler(settings)
        recorder = Recorder(guided=guidance > 1, waveform=settings.waveform, on_call=self._at_call,
                            replace=self._encoder_of(prompt) if self.encodes_anew else None)
        audios = self._run(prompt, len(tokens), recorder, used, settings, seed=seed, duration=duration,
                           guidance=guidance)
        return self._with_trajectory(
            torch.cat(recorder.latents), recorder, used, duration=duration,
            prompt=prompt, tokens=tokens, seed=seed,
            audio=np.squeeze(np.asarray(audios[settings.waveform], dtype=np.float32)),
            settings={"duration": duration, "guidance": guidance, **asdict(settings)},
        )  # fmt: skip

    @torch.no_grad()
    def _encode(self, prompt: str, tokens: tuple[Token, ...], audio: np.ndarray, sample_rate: int) -> Generation:
        """The denoiser's inputs are those of a generation of this length; its latents are the sound's, with noise."""
        rows = with_channels(resample(audio, sample_rate, self.sample_rate), self.channels)
        duration = min(rows.shape[1] / self.sample_rate, self.max_duration)
        used = copy.deepcopy(self.scheduler)
        recorder = Recorder(guided=True, inputs_only=True)
        with suppress(Enough):
            self._run(prompt, len(tokens), recorder, used, DenoisingSettings(self.default_steps), seed=0,
                      duration=duration, guidance=2.0)
        clean = self.encode_sound(rows, recorder.latents[0].shape[2]).cpu()
        recorder.timesteps = [float(timestep) for timestep in used.timesteps]
        return self._with_trajectory(
            schedules.noised(used, clean, seed=0), recorder, used, duration=duration,
            prompt=prompt, tokens=tokens, seed=0, audio=rows[0] if len(rows) == 1 else rows,
            settings={"duration": duration, "steps": self.default_steps}, encoded=True,
        )  # fmt: skip

    def _run(self, prompt: str, num_tokens: int, recorder: Recorder, scheduler: Any, settings: DenoisingSettings, *,
             seed: int, duration: float, guidance: float) -> Any:
        """The pipeline's audios; ``recorder`` sees every call of the denoiser, which ``scheduler`` steers."""
        if duration < self.column * (1 - 1e-6):
            raise SettingError(f"the audio must have at least {self.column:g} s with this model, not {duration:g}")
        guided, self.duration = recorder.guided, duration
        replaced = recorder.replace is not None  # then no mask is due to what is encoded here
        with torch.no_grad(), self.encoding_negative() if replaced else nullcontext():
            text = self.pipeline_text(prompt, settings.negative_prompt if guided else None, num_tokens, guided)
        with self._recording(recorder, guided, scheduler), _told_of(settings.scheduler):
            return self.pipeline(
                **text, **self.duration_arguments(duration), guidance_scale=float(guidance),
                num_inference_steps=settings.steps, num_waveforms_per_prompt=settings.waveforms,
                generator=torch.Generator("cpu").manual_seed(seed), output_type="np", **self._eta(settings),
            ).audios

    def _with_trajectory(self, latents: Tensor, recorder: Recorder, scheduler: Any, *, duration: float,
                         **fields: Any) -> Generation:
        """A generation of ``latents`` [steps, ...] as the denoiser got them, with the other inputs of ``recorder``."""
        times = self.times(latents.shape[2], duration)
        alpha, sigma = schedules.levels(scheduler, torch.tensor(recorder.timesteps, dtype=torch.float64))
        return Generation(
            model=self.key, checkpoint=self.checkpoint, sample_rate=self.sample_rate,
            times=times, positions=np.arange(len(times) - 1)[:, None],
            noise_levels=(sigma / (alpha**2 + sigma**2).sqrt()).numpy(),
            replay={
                "latents": latents, "timesteps": torch.tensor(recorder.timesteps), "alpha": alpha, "sigma": sigma,
                "kind": schedules.prediction_kind(scheduler),
                "inputs": recorder.conditional, "unconditional": recorder.unconditional,
            },
            **fields,
        )  # fmt: skip

    def denoise(self, generation: Generation, steps: Sequence[int], batch: int = 1, *, text: bool = True) -> Denoised:
        kept, chosen, self.duration = generation.replay, torch.as_tensor(list(steps)), generation.settings["duration"]
        rows, branch = batch * len(chosen), kept["inputs" if text else "unconditional"]
        # it may have been made by the same weights elsewhere, or in another precision
        latents = kept["latents"][chosen].to(self.device, self.denoiser.dtype)
        self.latent_shape = tuple(latents.shape[1:])
        inputs = {name: _rows(value, rows, latents) for name, value in branch.items()}
        if text:
            inputs |= self._texts(generation.prompt, rows, inputs)
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

    def _encoder_of(self, prompt: str) -> Replace:
        """Gives the text's inputs for the denoiser's next call: encoded once for each mask, not for each step."""
        encoded: dict[int, dict[str, Tensor]] = {}

        def encode(rows: int, given: Mapping[str, Any]) -> dict[str, Tensor]:
            mask = self.mask_in_force
            if mask not in encoded:
                encoded.clear()
                with self._during("replay"):
                    encoded[mask] = self._texts(prompt, rows, given)
            return encoded[mask]

        return encode

    def _texts(self, prompt: str, rows: int, given: Mapping[str, Any]) -> dict[str, Tensor]:
        """As :meth:`encode_text`; where each row has several texts, their keys stand side by side."""
        found = self.encode_text(prompt, rows * self.texts, given)
        if self.texts == 1:
            return found
        return {name: value.reshape(rows, -1, *value.shape[2:]) for name, value in found.items()}

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

    def _eta(self, settings: DenoisingSettings) -> dict[str, float]:
        """The argument, for pipelines that know it; raises SettingError where it is asked of one that does not."""
        if "eta" in inspect.signature(type(self.pipeline).__call__).parameters:
            return {"eta": settings.eta}
        if settings.eta:
            raise SettingError(f"{type(self.pipeline).__name__} knows no eta: leave it at 0")
        return {}

    def _used_scheduler(self, settings: DenoisingSettings) -> Any:
        if settings.scheduler is None:
            return self.scheduler
        return schedules.build(settings.scheduler, self.scheduler)


@contextmanager
def _told_of(scheduler: str | None) -> Iterator[None]:
    """A scheduler that was asked for, and wants of a pipeline what it does not give, is at fault."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        if scheduler is None or isinstance(error, XattnmaskError):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SettingError(f"scheduler {scheduler} does not fit this model: {reason}") from error


def _rows(value: Any, rows: int, like: Tensor) -> Any:
    """A recorded input with as many rows as the batch has, on the device of ``like``, and if floating in its dtype."""
    if not isinstance(value, Tensor):
        return value
    value = value.to(like) if value.is_floating_point() else value.to(like.device)
    return value.expand(rows, *value.shape[1:]) if value.ndim and len(value) == 1 else value
