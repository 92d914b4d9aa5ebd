"""Loading PaSST: by the names that hear21passt knows, or from a folder, without a network."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from xattnmask import CheckpointError

from .library import AugmentMelSTFT, Network, PasstBasicWrapper, default_cfgs, get_basic_model

DEFAULT = "passt_s_swa_p16_128_ap476"
MEL = {"n_mels": 128, "sr": 32000, "win_length": 800, "hopsize": 320, "n_fft": 1024, "freqm": 48, "timem": 192,
       "htk": False, "fmin": 0.0, "fmax": None, "norm": 1, "fmin_aug_range": 10, "fmax_aug_range": 2000}  # fmt: skip
"""The spectrogram of hear21passt's own ``get_basic_model``."""


@dataclass(frozen=True)
class Loaded:
    """A network behind its spectrogram, from samples [batch, samples] to logits [batch, labels]; and its labels."""

    model: Any
    labels: tuple[str, ...]


def load(checkpoint: str | None) -> Loaded:
    """A published network by its name, which hear21passt downloads and keeps, or one from a folder.

    The folder holds ``config.json`` (arguments of ``hear21passt.models.passt.PaSST``), ``model.safetensors`` and, if
    labels are to have names, ``labels.txt`` with one a line; else they are named by their number.
    """
    name = checkpoint or DEFAULT
    if Path(name).is_dir():
        return _from_folder(Path(name))
    if name not in default_cfgs:
        known = ", ".join(key for key in default_cfgs if key.startswith("passt_s"))
        raise CheckpointError(f"{name} is neither a folder nor a network that hear21passt knows, such as {known}")
    try:
        with quiet():
            model = get_basic_model(mode="logits", arch=name)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"hear21passt could not get {name} (offline?): {reason}") from error
    return Loaded(model, _numbered(model.net.num_classes))


@contextmanager
def quiet() -> Iterator[None]:
    """Without what hear21passt prints of itself, and its complaint about sounds shorter than ten seconds."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _from_folder(folder: Path) -> Loaded:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["img_size"], config["stride"] = tuple(config["img_size"]), tuple(config["stride"])
        with quiet():
            network, mel = Network(**config), AugmentMelSTFT(**MEL)
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{folder} holds no PaSST: {reason}") from error
    return Loaded(PasstBasicWrapper(mel=mel, net=network, mode="logits"), _labels(folder, network.num_classes))


def _labels(folder: Path, count: int) -> tuple[str, ...]:
    file = folder / "labels.txt"
    if not file.exists():
        return _numbered(count)
    names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    if len(names) != count:
        raise CheckpointError(f"{file} has {len(names)} labels and the network {count}")
    return names


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))
