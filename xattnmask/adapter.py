"""The contract between the core and a backbone: what a plugin's adapter provides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from .errors import PromptError, SettingError
from .generation import Generation
from .sites import Site
from .sound import check_audio
from .text import Token

if TYPE_CHECKING:
    import numpy as np
    import torch


DEFAULT_DURATION = 5.0
"""Seconds of audio in the paper."""
_SLACK = 0.01  # seconds a sound may exceed the longest, which is rarely a whole number of samples


class Adapter(ABC):
    """Drives one loaded backbone. A subclass is what an adapter plugin registers.

    Everything model-specific is here; the core finds the attention calls itself, so an adapter never
    rewrites a module's forward.
    """

    key: ClassVar[str]
    """The name users type; the same as the plugin's entry point."""
    library: ClassVar[str]
    """The library the backbone comes from, as pip knows it."""

    backbone: torch.nn.Module
    """The module that all site paths start from."""
    checkpoint: str
    """Where the weights came from: a named checkpoint, a folder or a hub id."""
    max_tokens: int
    """How many tokens the text encoder takes, special ones included."""
    max_duration: float
    """The longest audio the backbone can make, in seconds."""
    default_duration: float = DEFAULT_DURATION
    """Seconds of audio where none are asked for: what the backbone was trained on, if that is known."""
    guided: bool = False
    """Whether ``_generate`` runs with classifier-free guidance now: see :meth:`guiding`."""
    default_guidance: float = 3.0
    """Classifier-free guidance scale where none is asked for; 1 where a backbone was trained to need none."""

    @classmethod
    @abstractmethod
    def from_checkpoint(cls, checkpoint: str, *, device: str = "cpu", dtype: str = "float32") -> Adapter:
        """Load a backbone from a folder or a hub id through its library's own loader.

        ``dtype`` is a torch dtype's name. Raises CheckpointError when the checkpoint is missing, partial or corrupt.
        """

    @abstractmethod
    def tokenize(self, prompt: str) -> tuple[Token, ...]:
        """The prompt's tokens in the order of the text keys, special tokens included, never truncated."""

    @abstractmethod
    def sites(self, num_tokens: int) -> Sequence[Site]:
        """All sites of the backbone for a prompt of ``num_tokens`` tokens, of every role it has."""

    def conditional_rows(self, batch: int) -> slice:
        """Which rows of a batch at a cross-attention or text-encoder site are conditional *right now*.

        While ``_generate`` runs with classifier-free guidance that is one half (and the rows of the prompt, not of a
        negative one, where the text encoder runs); in ``replay`` it is all of them. By default the first half while
        :attr:`guided` is true; to be overridden for libraries that put the unconditional half first.
        """
        return slice(0, batch // 2) if self.guided else slice(0, batch)

    @contextmanager
    def guiding(self, guidance: float) -> Iterator[None]:
        """While open, :attr:`guided` tells whether there is guidance, whatever happens inside.

        Raises SettingError for a scale below 1.
        """
        if not 1 <= guidance < float("inf"):
            raise SettingError(f"guidance must be at least 1 (no guidance), not {guidance:g}")
        self.guided = guidance > 1
        try:
            yield
        finally:
            self.guided = False

    @abstractmethod
    def _generate(self, prompt: str, tokens: tuple[Token, ...], *, seed: int, duration: float, guidance: float,
                  **settings: Any) -> Generation:
        """Make audio; called by :meth:`generate` after the arguments have been checked."""

    @abstractmethod
    def replay(self, generation: Generation, batch: int = 1) -> torch.Tensor:
        """Run the backbone once over ``generation`` as it was made, without guidance, ``batch`` times in one batch.

        Returns the final hidden states [batch, positions, width] (after the last norm, before the output
        heads). Runs under the caller's grad mode and patches; gradients reach whatever a patch put in.
        """

    def replay_isolated(self, generation: Generation, batch: int = 1) -> torch.Tensor:
        """As :meth:`replay`, with each position a sequence of its own: length 1, at position 0, without history.

        Row b * positions + s of the sites' batches holds position s of copy b. Needed for the authors' procedure
        (context ``isolated``, preset ``paper``) alone.
        """
        raise SettingError(f"adapter {self.key!r} replays no isolated positions: use context='none'")

    def token_embeddings(self, generation: Generation) -> torch.Tensor:
        """The prompt's tokens as the cross-attention sees them, [tokens, width]: what the paper's explainer reads.

        Needed for the mask parameters ``mlp`` and ``mlp-history`` alone.
        """
        raise SettingError(f"adapter {self.key!r} gives no token embeddings: use parameters='logits'")

    def audio_embeddings(self, generation: Generation) -> torch.Tensor:
        """The embedding of the audio token that each position starts from (the one before it), [positions, width].

        Needed for the mask parameters ``mlp-history`` alone.
        """
        raise SettingError(f"adapter {self.key!r} gives no audio embeddings: use parameters='logits' or 'mlp'")

    def generate(self, prompt: str, *, seed: int = 0, duration: float | None = None, guidance: float | None = None,
                 **settings: Any) -> Generation:
        """Generate audio from ``prompt``; the same seed and settings give the same audio on one machine.

        Inside ``xattnmask.patch`` the audio is generated under the mask.

        Args:
            prompt: the text; must hold at least one word.
            seed: seed of the sampling.
            duration: seconds of audio; when not given, what the backbone was trained on (5 where unknown), or its
                longest if that is shorter.
            guidance: classifier-free guidance scale, 3 with most backbones when not given; 1 switches guidance off.
            settings: what else the backbone's own generate takes (see the adapter's docs).

        Raises:
            PromptError: the prompt is empty or too long.
            SettingError: a setting is out of range.
        """
        tokens = self.check_prompt(prompt)
        duration = min(self.default_duration, self.max_duration) if duration is None else duration
        if not 0 < duration <= self.max_duration:
            raise SettingError(f"duration must be above 0 and at most {self.max_duration:g} s, not {duration:g}")
        guidance = self.default_guidance if guidance is None else guidance
        return self._generate(prompt, tokens, seed=seed, duration=duration, guidance=guidance, **settings)

    def encode(self, prompt: str, audio: np.ndarray, sample_rate: int) -> Generation:
        """Take in a sound that the model did not make, as if it had made it from ``prompt``, to be explained.

        Needs an adapter that implements :meth:`_encode`.

        Args:
            prompt: the text whose words are to account for the sound.
            audio: float [samples] or [channels, samples]; resampled and averaged to the backbone's channels.
            sample_rate: its samples a second.

        Raises:
            PromptError: the prompt is empty or too long.
            SettingError: the audio is empty, not finite, of a wrong shape or longer than the backbone can make; or the
                adapter cannot take sounds in.
        """
        tokens, audio = self.check_prompt(prompt), check_audio(audio)
        if sample_rate <= 0:
            raise SettingError(f"the sample rate must be above 0, not {sample_rate}")
        seconds = audio.shape[-1] / sample_rate
        if seconds > self.max_duration + _SLACK:
            most = f"the model makes at most {self.max_duration:g} s"
            raise SettingError(f"the audio has {seconds:.2f} s and {most}: cut it")
        return self._encode(prompt, tokens, audio, sample_rate)

    def _encode(self, prompt: str, tokens: tuple[Token, ...], audio: np.ndarray, sample_rate: int) -> Generation:
        """Called by :meth:`encode` after the arguments have been checked; the generation has ``encoded=True``.

        :func:`xattnmask.sound.resample` and :func:`xattnmask.sound.with_channels` bring the audio into form. Optional.
        """
        raise SettingError(f"adapter {self.key!r} cannot take in a sound that its model did not make")

    def regenerate(self, generation: Generation, seed: int | None = None) -> Generation:
        """Generate again with the prompt and settings of ``generation``: what a mask is judged by when patched.

        Raises SettingError for a sound that the model did not make.
        """
        if generation.encoded:
            raise SettingError("the model did not make this sound, so that no seed makes it again")
        seed = generation.seed if seed is None else seed
        return self.generate(generation.prompt, seed=seed, **generation.settings)

    def check_prompt(self, prompt: str) -> tuple[Token, ...]:
        """Tokenize ``prompt``; raise PromptError if it has no word or too many tokens."""
        if not prompt.strip():
            raise PromptError("the prompt is empty: give at least one word")
        tokens = self.tokenize(prompt)
        if len(tokens) > self.max_tokens:
            raise PromptError(
                f"the prompt has {len(tokens)} tokens and the text encoder takes {self.max_tokens}: shorten it"
            )
        return tokens
