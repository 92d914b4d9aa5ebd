"""A wheel of every distribution is built and installed in a clean environment, and does there what it should.

Dependencies come from the environment that runs the tests, by a path file; what is installed there for development is
not importable through it, so that code and data can only come from the wheels.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
ROOT = Path(__file__).parents[1]
PROJECTS = [ROOT, *sorted(file.parent for pattern in ("adapters/*", "examples/*")
                          for file in ROOT.glob(f"{pattern}/pyproject.toml"))]  # fmt: skip


def run(*command: object, cwd: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for project in PROJECTS:
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=project)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def clean(wheels, tmp_path_factory) -> Path:
    """The folder of the clean environment's commands."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder / "bin" / "python"]
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", *wheels)
    (site / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return folder / "bin"


def test_every_distribution_has_a_wheel(wheels):
    names = {wheel.name.split("-")[0] for wheel in wheels}
    assert names == {"xattnmask", "xattnmask_audiocraft", "xattnmask_dia", "xattnmask_diffusers", "xattnmask_foley",
                     "xattnmask_passt", "xattnmask_transformers"}  # fmt: skip


def test_the_code_is_that_of_the_wheels(clean):
    code = "import xattnmask, json; print(json.dumps([xattnmask.__file__, xattnmask.__version__]))"
    file, version = json.loads(run(clean / "python", "-c", code, cwd=clean))
    assert Path(file).is_relative_to(clean.parent) and version == "0.1.0"
    assert (Path(file).parent / "py.typed").is_file()


def test_all_models_are_listed(clean):
    found = {model["key"] for model in json.loads(run(clean / "xattnmask", "models", "--json"))["models"]}
    assert {"musicgen", "audioldm2", "audiogen", "dia"} <= found


def test_data_files_are_in_the_wheels(clean, tmp_path):
    """The bundled model and the page of the report; the skeleton of an adapter."""
    run(clean / "xattnmask", "explain", "a dog", "--duration", "0.5", "--out", tmp_path / "out", "--json", cwd=tmp_path)
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000
    run(clean / "xattnmask", "new-adapter", "siren", cwd=tmp_path)
    assert (tmp_path / "xattnmask-siren" / "pyproject.toml").is_file()
