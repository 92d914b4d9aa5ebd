"""Tiny random models of audiocraft's own classes, saved as checkpoints as audiocraft exports them."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers

if TYPE_CHECKING:
    from xattnmask_audiocraft.audiogen import AudioGen

torch.set_num_threads(1)
PIECES = ["▁a", "▁dog", "▁bark", "s", "▁then", "▁siren", "▁wail", "▁", "a", "d", "o", "g", "n", "é", "."]
PROMPT = "a dog barks then a siren wails"
CODES, BOOKS, WIDTH = 16, 4, 24


@pytest.fixture(scope="session", autouse=True)
def audiocraft_is_installed() -> None:
    """Or all is skipped, with what to type."""
    pytest.importorskip("audiocraft", reason="audiocraft is not installed: python -m xattnmask_audiocraft.install")


CONFIG: dict[str, Any] = {
    "lm_model": "transformer_lm",
    "transformer_lm": {
        "n_q": BOOKS, "card": CODES, "dim": WIDTH, "num_heads": 2, "num_layers": 2, "hidden_scale": 2,
        "norm": "layer_norm", "norm_first": True, "causal": True, "memory_efficient": True, "custom": False,
        "bias_ff": False, "bias_attn": False, "bias_proj": False, "dropout": 0.1, "activation": "gelu",
    },
    "codebooks_pattern": {"modeling": "delay", "delay": {"delays": [0, 1, 2, 3]}},
    "classifier_free_guidance": {"training_dropout": 0.1, "inference_coef": 3.0},
    "attribute_dropout": {},
    "fuser": {"sum": [], "prepend": [], "cross": ["description"], "input_interpolate": []},
    "conditioners": {"args": {"merge_text_conditions_p": 0.5},
                     "description": {"model": "t5", "t5": {"name": "", "finetune": False, "word_dropout": 0.3}}},
    "dataset": {"segment_duration": 30.0},
}  # fmt: skip
CODEC: dict[str, Any] = {
    "compression_model": "encodec",
    "encodec": {"autoencoder": "seanet", "quantizer": "rvq", "sample_rate": 400, "channels": 1, "causal": False},
    "seanet": {"channels": 1, "dimension": 4, "n_filters": 2, "n_residual_layers": 1, "ratios": [4, 4], "lstm": 1,
               "norm": "weight_norm", "encoder": {}, "decoder": {}},
    "rvq": {"n_q": BOOKS, "bins": CODES, "kmeans_init": False},
}  # fmt: skip
GENRE = {"model": "lut", "lut": {"n_bins": 8, "dim": 6, "tokenizer": "noop"}}


def changed(config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy with other values; ``transformer_lm__causal=False`` reaches into a section."""
    found = copy.deepcopy(config)
    for path, value in changes.items():
        *sections, name = path.split("__")
        inner = found
        for section in sections:
            inner = inner[section]
        inner[name] = value
    return found


KINDS: dict[str, dict[str, Any]] = {
    "audiogen": {},
    "several": {"fuser__cross": ["description", "genre", "mood"], "fuser__sum": ["tempo"], "conditioners": {
        "genre": GENRE, "tempo": GENRE, "description": CONFIG["conditioners"]["description"], "mood": GENRE}},
    "einsum": {"transformer_lm__memory_efficient": False, "transformer_lm__custom": True},
    "torch": {"transformer_lm__memory_efficient": False},
    "stereo": {"transformer_lm__n_q": 2 * BOOKS, "codebooks_pattern__delay__delays": [0, 0, 1, 1, 2, 2, 3, 3],
               "interleave_stereo_codebooks": {"use": True, "per_timestep": False}},
    "parallel": {"codebooks_pattern": {"modeling": "parallel"}, "transformer_lm__norm_first": False},
}  # fmt: skip
"""Models that differ in what an adapter has to know of them."""


def save_text_encoder(folder: Path) -> Path:
    """A T5 encoder with a small tokenizer."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0)] + [(p, -2.0 + 0.5 * len(p)) for p in PIECES]
    tokenizer = transformers.T5Tokenizer(vocab=pieces, extra_ids=0)
    tokenizer.model_max_length = 24
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    sizes = transformers.T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    encoder = transformers.T5EncoderModel(sizes)
    louder(encoder, 8.0)
    encoder.save_pretrained(folder)
    return folder


@torch.no_grad()
def louder(module: torch.nn.Module, times: float) -> None:
    """Weights loud enough for text and history to matter."""
    for weight in module.parameters():
        if weight.dim() > 1:
            weight.mul_(times)


def save(folder: Path, config: dict[str, Any], codec: dict[str, Any] = CODEC) -> Path:
    """A checkpoint folder of random weights, its T5 in ``t5`` inside."""
    from xattnmask_audiocraft.library import OmegaConf, T5Conditioner, builders

    text = save_text_encoder(folder / "t5")
    config = changed(config, conditioners__description__t5__name=str(text))
    T5Conditioner.MODELS.append(str(text))
    T5Conditioner.MODELS_DIMS[str(text)] = 16
    torch.manual_seed(0)
    try:
        model = builders.get_lm_model(OmegaConf.create({**config, "device": "cpu", "dtype": "float32"}))
    finally:
        T5Conditioner.MODELS.remove(str(text))
        del T5Conditioner.MODELS_DIMS[str(text)]
    louder(model, 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # audiocraft's weight_norm
        compression = builders.get_compression_model(OmegaConf.create({**codec, "device": "cpu"}))
    write(folder / "state_dict.bin", config, model.state_dict())
    write(folder / "compression_state_dict.bin", codec, compression.state_dict())
    return folder


def write(file: Path, config: Any, state: dict[str, torch.Tensor]) -> None:
    """One of the two files, as audiocraft exports it; JSON is YAML."""
    torch.save({"xp.cfg": config if not isinstance(config, dict) else json.dumps(config), "best_state": state}, file)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by kind, filled as they are asked for."""

    class Folders(dict):
        def __missing__(self, kind: str) -> Path:
            self[kind] = save(tmp_path_factory.mktemp(kind), changed(CONFIG, **KINDS[kind]))
            return self[kind]

    return Folders()


@pytest.fixture(scope="session")
def models(folders: dict[str, Path]) -> dict[str, AudioGen]:
    """Loaded models by kind."""
    from xattnmask_audiocraft.audiogen import AudioGen

    class Models(dict):
        def __missing__(self, kind: str) -> AudioGen:
            self[kind] = AudioGen.from_checkpoint(str(folders[kind]))
            return self[kind]

    return Models()


@pytest.fixture(params=sorted(KINDS))
def model(request: pytest.FixtureRequest, models: dict[str, AudioGen]) -> AudioGen:
    """Each kind of model in turn."""
    return models[request.param]


@pytest.fixture
def audiogen(models: dict[str, AudioGen]) -> AudioGen:
    return models["audiogen"]


@pytest.fixture
def sound(audiogen: AudioGen) -> Any:
    return audiogen.generate(PROMPT, seed=0, duration=0.4)


@pytest.fixture
def known(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of ``audiogen``, its T5 made known to audiocraft, so that audiocraft itself can load it."""
    from audiocraft.modules.conditioners import T5Conditioner

    text = str(folders["audiogen"] / "t5")
    monkeypatch.setattr(T5Conditioner, "MODELS", [*T5Conditioner.MODELS, text])
    monkeypatch.setattr(T5Conditioner, "MODELS_DIMS", {**T5Conditioner.MODELS_DIMS, text: 16})
    return folders["audiogen"]


class Logits(list):
    """Fills with the language model's own logits, call by call [rows, K, V], before guidance and sampling."""

    def record(self, _: Any, __: Any, output: torch.Tensor) -> None:
        self.append(output[:, :, -1].clone())


@pytest.fixture
def logits(models: dict[str, AudioGen], request: pytest.FixtureRequest) -> Iterator[Logits]:
    """Of the fixture ``model`` where a test has it, else of ``audiogen``."""
    name = "model" if "model" in request.fixturenames else "audiogen"
    recorded = Logits()
    handle = request.getfixturevalue(name).backbone.register_forward_hook(recorded.record)
    yield recorded
    handle.remove()


def heads(model: AudioGen, hidden: torch.Tensor) -> torch.Tensor:
    """Logits [positions, K, V] of one row of hidden states."""
    return torch.stack([head(hidden) for head in model.backbone.linears], dim=1)


def emitted(generation: Any, logits: torch.Tensor) -> torch.Tensor:
    """The logits [frames, K, V] that emit each code, of logits [positions, K, V]."""
    return torch.stack([logits[generation.positions[:, k], k] for k in range(generation.positions.shape[1])], dim=1)
