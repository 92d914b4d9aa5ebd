"""The named checkpoints that come with the foley world."""

from __future__ import annotations

from pathlib import Path

from xattnmask import Checkpoint, hookimpl

FOLDER = Path(__file__).parent / "checkpoints"


class NamedCheckpoint:
    """A plugin that offers one folder of :data:`FOLDER` under its name."""

    def __init__(self, name: str, model: str, description: str):
        self._checkpoint = Checkpoint(model, FOLDER / name, description)

    @hookimpl
    def xattnmask_checkpoint(self) -> Checkpoint:
        """Where it lies and which model loads it."""
        return self._checkpoint


MUSICGEN = NamedCheckpoint("foley-musicgen", "musicgen", "4 s of twelve sounds at 16 kHz, MusicGen, 6 M parameters")
AUDIOLDM2 = NamedCheckpoint("foley-audioldm2", "audioldm2", "4 s of twelve sounds at 16 kHz, AudioLDM2")
AUDIOLDM = NamedCheckpoint("foley-audioldm", "audioldm", "4 s of twelve sounds at 16 kHz, AudioLDM")
