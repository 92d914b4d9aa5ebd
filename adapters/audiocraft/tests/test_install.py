"""Setting up: what is wrong with an environment is told with the command that mends it, and the command mends it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from xattnmask_audiocraft import install

from xattnmask import list_models


@pytest.fixture
def torchaudio(tmp_path, monkeypatch):
    """A torchaudio of which two libraries need CUDA."""
    folder = tmp_path / "torchaudio"
    (folder / "lib").mkdir(parents=True)
    (folder / "__init__.py").touch()
    for name, needed in {"one.abi3.so": b"\x7fELF libc10_cuda.so", "two.so.1": b"libcudart.so.12"}.items():
        (folder / "lib" / name).write_bytes(needed)
    (folder / "lib/three.so").write_bytes(b"\x7fELF libc10.so")
    monkeypatch.setattr(install.importlib.util, "find_spec",
                        lambda name: SimpleNamespace(submodule_search_locations=[str(folder)]))
    return folder / "lib"


@pytest.mark.parametrize(("cuda", "found"), [(None, ["one.abi3.so", "two.so.1"]), ("12.8", [])])
def test_what_needs_cuda_is_found_where_torch_has_none(torchaudio, monkeypatch, cuda, found):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    assert [file.name for file in install.cuda_libraries()] == found


def test_the_command_installs_and_deletes(torchaudio, monkeypatch, capsys):
    commands = []
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(install.subprocess, "run",
                        lambda command, check: commands.append(command[3:]) or SimpleNamespace(returncode=0))
    assert install.main(["-c", "pins.txt"]) == 0
    assert [file.name for file in torchaudio.iterdir()] == ["three.so"]
    needs, library = commands
    assert all("-c pins.txt" in " ".join(command) for command in commands)
    assert needs[-3:] == ["-r", str(install.NEEDS), f"torch=={torch.__version__}"]
    assert library[-2:] == ["--no-deps", "audiocraft==1.3.0"]
    assert install.main() == 0  # nothing left to delete


def test_the_command_stops_where_pip_fails(torchaudio, monkeypatch):
    monkeypatch.setattr(install.subprocess, "run", lambda command, check: SimpleNamespace(returncode=3))
    assert install.main() == 3 and len(list(torchaudio.iterdir())) == 3


def test_needs_are_pinned_and_name_neither_torch_nor_audiocraft():
    lines = [line for line in install.NEEDS.read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line for line in lines)
    assert not {line.partition("==")[0] for line in lines} & {"torch", "audiocraft", "transformers", "numpy"}


@pytest.fixture
def environment(tmp_path):
    """Puts modules in front of the installed ones, for a Python of its own."""

    def with_modules(**modules: str) -> dict[str, str]:
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
        return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}

    return with_modules


LOAD = "import sys; from xattnmask.cli import main; sys.argv[1:] = ['explain', 'a dog', '--model', 'audiogen', " \
       "'--checkpoint', '.', '--out', sys.argv[1]]; main()"


def explained(environment: dict[str, str], out: Path) -> str:
    done = subprocess.run([sys.executable, "-c", LOAD, str(out)], env=environment, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_torchaudio_that_cannot_be_imported(environment, tmp_path):
    broken = environment(torchaudio="raise OSError('Could not load this library: libtorchaudio.so')")
    message = explained(broken, tmp_path / "out")
    assert "libtorchaudio.so" in message and "python -m xattnmask_audiocraft.install" in message


def test_an_audiocraft_that_is_missing(environment, tmp_path):
    hidden = environment(sitecustomize="import sys; sys.modules['audiocraft'] = None", audiocraft="")
    assert "python -m xattnmask_audiocraft.install" in explained(hidden, tmp_path / "out")


def test_advice_tells_what_is_missing(monkeypatch):
    from xattnmask_audiocraft import library

    broken = OSError("libc10_cuda.so:\n cannot open")
    monkeypatch.setattr(library, "cuda_libraries", lambda: [])
    assert "(libc10_cuda.so: cannot open); this adapter knows audiocraft==1.3.0: python -m" in library.advice(broken)
    monkeypatch.setattr(library, "cuda_libraries", lambda: [Path("x.so")])
    assert library.advice(broken).startswith("torchaudio needs CUDA here and torch has none")
    monkeypatch.setattr(library, "_installed", lambda: False)
    assert library.advice(broken).startswith("audiocraft is not installed")


def test_models_are_listed_with_their_library_and_without_importing_it():
    (model,) = [model for model in list_models() if model.key == "audiogen"]
    assert [library.name for library in model.libraries] == ["transformers", "audiocraft"] and model.status == "ok"
    code = "import sys, xattnmask; xattnmask.list_models(); " \
           "print([m for m in ('audiocraft', 'torch', 'xattnmask_audiocraft') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_other_adapter_is_imported():
    """Not even by the converter, which asks for it by its key."""
    for file in install.NEEDS.parent.rglob("*.py"):
        assert not {"xattnmask_transformers", "xattnmask_foley"} & set(re.findall(r"\w+", file.read_text())), file
