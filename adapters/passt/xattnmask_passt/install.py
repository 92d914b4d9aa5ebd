"""Sets up hear21passt in the environment of the Python that runs it: ``python -m xattnmask_passt.install``.

Three steps, each of which does nothing where it was done before:

1. torchaudio, torch kept as it is;
2. hear21passt without timm, and so without torchvision, neither of which it needs here (``library.py`` says why);
3. where torch has no CUDA, those of torchaudio's libraries that need it are deleted: torchaudio cannot be imported with
   them (nor can what imports it, as transformers does for audio), and does without them.

Arguments are handed on to pip, for instance ``-c constraints.txt`` or ``--index-url``.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

HEAR21PASST, TORCHAUDIO = "hear21passt==0.0.26", "torchaudio>=2.6"
_CUDA = (b"libc10_cuda", b"libtorch_cuda", b"libcudart")


def main(options: Sequence[str] = ()) -> int:
    """Do the three steps, with ``options`` for pip; 0 if all went well, else pip's exit code."""
    for arguments in ([TORCHAUDIO, f"torch=={metadata.version('torch')}"], ["--no-deps", HEAR21PASST]):
        if code := _pip([*options, *arguments]):
            return code
    for file in cuda_libraries():
        print(f"torch has no CUDA here, and torchaudio does without {file.name}: deleting it", flush=True)
        file.unlink()
    return 0


def cuda_libraries() -> list[Path]:
    """The libraries of the installed torchaudio that keep it from being imported: they need CUDA and torch has none."""
    import torch

    spec = None if torch.version.cuda else importlib.util.find_spec("torchaudio")
    folders = (spec.submodule_search_locations if spec else None) or []
    files = (file for folder in folders for file in sorted(Path(folder).rglob("*.so*")))
    return [file for file in files if any(name in file.read_bytes() for name in _CUDA)]


def _pip(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *arguments]
    print("pip install", *arguments, flush=True)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
