"""The skeleton of an adapter: written, marked, and passing the kit once its blanks are filled, here with the toy."""

from __future__ import annotations

import re
import sys
import textwrap

import pytest

from xattnmask import OutputError, SettingError, load
from xattnmask.scaffold import write_adapter
from xattnmask.testing import Subject, run_checks

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")

FILLED = {
    "limits": "self.max_tokens, self.max_duration = 9, 2.0",
    "load": """
        backbone = toy_plugin.Backbone()
        backbone.load_state_dict(torch.load(f"{checkpoint}/weights.pt", weights_only=True))""",
    "tokenize": """
        words = [Token(sum(map(ord, prompt[a:b])) % 97, prompt[a:b], a, b) for a, b in word_spans(prompt)]
        return (*words, Token(1, "</s>", len(prompt), len(prompt), special=True))""",
    "sites": """
        return [Site(f"layers.{i}.{name}", i, role, stream) for i in range(2)
                for name, role, stream in (("cross", "cross", "text"), ("own", "self", "audio"))]""",
    "generate": """
        rate, frames = 1600, max(round(duration * 25), 1)
        text, weight = text_of(self, tokens), self.backbone.head.weight
        noise = torch.randn(1, frames, 16, device=weight.device, dtype=weight.dtype)
        rows = torch.cat([text, torch.zeros_like(text)])[: 2 if self.guided else 1]
        given, null = self.backbone(noise.repeat(len(rows), 1, 1), rows)[[0, -1]]
        audio = torch.tanh(self.backbone.head(null + guidance * (given - null))).flatten()
        kept = {"noise": noise}""",
    "replay": """
        text = text_of(self, generation.tokens)
        return self.backbone(generation.replay["noise"].to(text).repeat(batch, 1, 1), text.expand(batch, -1, -1))""",
}
TEXT = """

def text_of(model, tokens):
    weight = model.backbone.words.weight
    return model.backbone.words(torch.tensor([[token.id for token in tokens]], device=weight.device))
"""
BLANK = re.compile(r"^( *)# BLANK (\w+):.*\n(?: *#.*\n)* *raise NotImplementedError\(.*\)\n", re.MULTILINE)


def fill(source: str) -> str:
    """Each blank that raises, filled by name."""

    def with_code(blank: re.Match[str]) -> str:
        return textwrap.indent(textwrap.dedent(FILLED.pop(blank[2])).strip("\n"), blank[1]) + "\n"

    return BLANK.sub(with_code, source)


@pytest.fixture
def skeleton(tmp_path):
    write_adapter("my-model", tmp_path / "made")
    return tmp_path / "made"


def test_all_is_there_and_parses(skeleton):
    files = sorted(path.relative_to(skeleton).as_posix() for path in skeleton.rglob("*") if path.is_file())
    assert files == ["README.md", "pyproject.toml", "tests/test_xattnmask_my_model.py", "xattnmask_my_model.py"]
    project = tomllib.loads((skeleton / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["xattnmask.adapters"] == {"my-model": "xattnmask_my_model"}
    for path in skeleton.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
        assert all(len(line) <= 120 for line in path.read_text().splitlines())
        assert "BLANK" in path.read_text() and "$" not in path.read_text()


def test_it_passes_the_kit_when_its_blanks_are_filled(skeleton, distributions):
    import torch

    distributions.add_toy(checkpoints=["toy-small"])
    source = fill((skeleton / "xattnmask_my_model.py").read_text())
    assert not FILLED and "NotImplementedError" not in source
    imports = "import torch\nimport toy_plugin\nfrom xattnmask.text import word_spans\n"
    source = source.replace("import torch\n", imports, 1) + TEXT
    distributions.add("xattnmask-my-model", {"xattnmask.adapters": {"my-model": "xattnmask_my_model"}},
                      modules={"xattnmask_my_model": source})
    weights = load("toy", "toy-small").backbone.state_dict()
    torch.save(weights, skeleton / "weights.pt")
    report = run_checks(Subject.of("my-model", str(skeleton)))
    assert report.passed and not report.count("warned"), report


def test_its_test_file_runs_the_kit(skeleton):
    source = (skeleton / "tests" / "test_xattnmask_my_model.py").read_text()
    namespace: dict[str, object] = {}
    exec(compile(source, "test", "exec"), namespace)
    assert callable(namespace["test_conforms"])


def test_the_command(run, tmp_path):
    result = run("new-adapter", "siren", "--out", tmp_path / "siren")
    assert result.code == 0 and (tmp_path / "siren" / "xattnmask_siren.py").is_file()
    assert result.out.splitlines()[-1].startswith("fill what is marked BLANK")
    again = run("new-adapter", "siren", "--out", tmp_path / "siren")
    assert again.code == 2 and "holds something already" in again.err


@pytest.mark.parametrize("name", ["", "Siren", "my_model", "-a", "a--b", "../a", "a b"])
def test_names(name, tmp_path):
    with pytest.raises(SettingError, match="a model key is"):
        write_adapter(name, tmp_path / "made")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_adapter("siren", tmp_path / "file")
    with pytest.raises(OutputError, match="cannot write"):
        write_adapter("siren", tmp_path / "file" / "inside")
