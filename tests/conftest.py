"""Fixtures for the whole suite."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xattnmask import Adapter, Generation

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class Distributions:
    """Distributions made on disk and put on ``sys.path``, so that importlib.metadata itself finds them."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self.modules: set[str] = set()

    def add(
        self,
        name: str,
        entry_points: Mapping[str, Mapping[str, str]],
        *,
        version: str = "1.0",
        requires: Sequence[str] = (),
        modules: Mapping[str, str] | None = None,
    ) -> None:
        """Install a distribution: its metadata, and modules by name from their source."""
        folder = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (folder / "METADATA").write_text("\n".join(lines + [f"Requires-Dist: {line}" for line in requires]) + "\n")
        sections = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
            for group, entries in entry_points.items()
        ]
        (folder / "entry_points.txt").write_text("\n".join(sections))
        for module, source in (modules or {}).items():
            (self.site / f"{module}.py").write_text(dedent(source))
            self.modules.add(module)

    def add_toy(self, checkpoints: Sequence[str] = ("toy-small", "foley-musicgen")) -> None:
        """Install tests/toy_plugin.py as a distribution of its own, with named checkpoints."""
        self.add(
            "xattnmask-toy",
            {
                "xattnmask.adapters": {"toy": "toy_plugin"},
                "xattnmask.checkpoints": dict.fromkeys(checkpoints, "toy_plugin"),
                "xattnmask.judges": {"toy": "toy_plugin"},
                "xattnmask.worlds": {"toy": "toy_plugin"},
            },
            version="3.1",
            requires=["xattnmask", "pluggy>=1"],
            modules={"toy_plugin": (Path(__file__).parent / "toy_plugin.py").read_text()},
        )
        weights = self.site / "toy_weights"
        weights.mkdir()
        (weights / "toy.json").write_text("{}")


@pytest.fixture
def distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distributions]:
    """Installs fake distributions beside the real ones; their modules are forgotten afterwards."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    made = Distributions(site)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)


@pytest.fixture
def alone(distributions: Distributions, monkeypatch: pytest.MonkeyPatch) -> Distributions:
    """As ``distributions``, but what is really installed offers nothing."""

    def entry_points(*, group: str) -> list[metadata.EntryPoint]:
        found = metadata.distributions(path=[str(distributions.site)])
        return [entry for distribution in found for entry in distribution.entry_points if entry.group == group]

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    return distributions


@pytest.fixture
def toy(alone: Distributions) -> Distributions:
    """Installs the toy adapter, model key ``toy``, with the named checkpoints ``toy-small`` and the default."""
    alone.add_toy()
    return alone


@pytest.fixture
def toy_model(distributions: Distributions) -> Adapter:
    """The toy, loaded, beside what is really installed: attribution methods find it and it finds them."""
    from xattnmask import load

    distributions.add_toy(checkpoints=["toy-small"])
    return load("toy", "toy-small")


@pytest.fixture
def sound(toy_model: Adapter) -> Generation:
    """Ten frames of the toy; five tokens, the last one special."""
    return toy_model.generate("a dog barks loudly", seed=1, duration=0.4)
