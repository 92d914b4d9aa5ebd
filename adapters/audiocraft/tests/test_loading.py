"""Loading: dtype honoured, every fault of a checkpoint told in one line, nothing unpickled unasked."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from xattnmask import load
from xattnmask.errors import CheckpointError, SettingError

from .conftest import CODEC, CONFIG, GENRE, PROMPT, changed, save, write


def load_folder(folder, **settings):
    from xattnmask_audiocraft.audiogen import AudioGen

    return AudioGen.from_checkpoint(str(folder), **settings)


@pytest.fixture
def copy(folders, tmp_path):
    return shutil.copytree(folders["audiogen"], tmp_path / "copy")


def fails(folder, match):
    with pytest.raises(CheckpointError, match=match) as caught:
        load_folder(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


def rewrite(folder, file="state_dict.bin", **changes):
    """The same weights under another configuration."""
    package = torch.load(folder / file)
    write(folder / file, changed(json.loads(package["xp.cfg"]), **changes), package["best_state"])
    return folder


def test_frozen_in_evaluation_mode(audiogen):
    for part in (audiogen.backbone, audiogen.codec, audiogen.conditions.conditioner.t5):
        assert not part.training and not any(parameter.requires_grad for parameter in part.parameters())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes_are_the_language_models(folders, audiogen, dtype):
    model = load_folder(folders["audiogen"], dtype=dtype)
    assert {p.dtype for p in model.backbone.parameters()} == {getattr(torch, dtype)}
    text = torch.float64 if dtype == "float64" else torch.float32
    assert {p.dtype for p in model.conditions.conditioner.t5.parameters()} == {text}
    for ours, full in zip(model.codec.parameters(), audiogen.codec.parameters(), strict=True):
        assert torch.equal(ours, full)
    generation = model.generate(PROMPT, duration=0.4)
    hidden = model.replay(generation)
    assert hidden.dtype == getattr(torch, dtype) and hidden.isfinite().all() and generation.audio.dtype == "float32"


@pytest.mark.parametrize("bad", [{"dtype": "int8"}, {"dtype": "nonsense"}, {"device": "cuda:99"}, {"device": "moon"}])
def test_bad_dtype_or_device(folders, bad):
    with pytest.raises(SettingError):
        load_folder(folders["audiogen"], **bad)


def test_audiocraft_forgets_the_text_encoders_folder(folders):
    from audiocraft.modules.conditioners import T5Conditioner

    before = list(T5Conditioner.MODELS), dict(T5Conditioner.MODELS_DIMS)
    load_folder(folders["audiogen"])
    after = list(T5Conditioner.MODELS), dict(T5Conditioner.MODELS_DIMS)
    assert after == before


def test_a_folder_that_names_its_text_encoder_relatively_can_be_moved(copy, tmp_path, audiogen, sound):
    rewrite(copy, conditioners__description__t5__name="t5")
    moved = load_folder(shutil.move(copy, tmp_path / "moved"))
    assert torch.equal(moved.replay(sound), audiogen.replay(sound))


def test_missing_folder(tmp_path):
    fails(tmp_path / "nowhere", "no such checkpoint folder")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    fails(tmp_path / "file", "no such checkpoint folder")


def test_unknown_hub_id():
    fails("nobody/nothing-of-the-kind", "from the hub by this id")


def test_a_hub_id_is_fetched_by_audiocrafts_own_loader(folders, audiogen, sound, monkeypatch):
    from audiocraft.models import loaders

    asked = []

    def download(repo_id, filename, **_):
        asked.append((repo_id, filename))
        return str(folders["audiogen"] / filename)

    monkeypatch.setattr(loaders, "hf_hub_download", download)
    model = load("audiogen", "facebook/audiogen-medium")
    assert asked == [("facebook/audiogen-medium", f"{name}state_dict.bin") for name in ("", "compression_")]
    assert model.checkpoint == "facebook/audiogen-medium" and torch.equal(model.replay(sound), audiogen.replay(sound))


@pytest.mark.parametrize("name", ["state_dict.bin", "compression_state_dict.bin"])
def test_a_file_is_missing(copy, name):
    (copy / name).unlink()
    fails(copy, f"no {name} in this folder")


def test_a_transformers_folder_is_told_apart(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    fails(tmp_path, "python -m xattnmask_audiocraft.convert")


@pytest.mark.parametrize("name", ["state_dict.bin", "compression_state_dict.bin"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "other"])
def test_corrupt_files(copy, name, damage):
    data = (copy / name).read_bytes()
    if damage == "other":
        torch.save([1, 2], copy / name)
    else:
        (copy / name).write_bytes({"cut": data[: len(data) // 2], "garbage": b"x" * 99, "empty": b""}[damage])
    assert "XATTNMASK_TRUST" not in fails(copy, name)


def test_partial_weights(copy):
    package = torch.load(copy / "state_dict.bin")
    package["best_state"].pop("transformer.layers.1.cross_attention.in_proj_weight")
    torch.save(package, copy / "state_dict.bin")
    fails(copy, "cannot read its weights: .*cross_attention.in_proj_weight")
    package["best_state"]["transformer.layers.1.cross_attention.in_proj_weight"] = torch.zeros(2, 2)
    torch.save(package, copy / "state_dict.bin")
    fails(copy, "size mismatch")


def test_no_text_encoder(copy):
    shutil.rmtree(copy / "t5")
    rewrite(copy, conditioners__description__t5__name="t5")
    fails(copy, "its text encoder 't5' is no T5 that audiocraft knows, and no folder")
    rewrite(copy, conditioners__description__t5__name="t5-small")  # one of audiocraft's, from the hub
    fails(copy, "t5-small")


def test_no_tokenizer(copy):
    rewrite(copy, conditioners__description__t5__name="t5")
    for file in (copy / "t5").glob("*token*"):
        file.unlink()
    fails(copy, "token")


def test_a_broken_configuration(copy):
    package = torch.load(copy / "state_dict.bin")
    write(copy / "state_dict.bin", "{", package["best_state"])
    fails(copy, "cannot read its xp.cfg")
    write(copy / "state_dict.bin", "lm_model: transformer_lm", package["best_state"])
    fails(copy, "describes no language model")


@pytest.mark.parametrize(("changes", "match"), [
    ({"fuser__cross": [], "fuser__prepend": ["self_wav", "description"],
      "conditioners__self_wav": {"model": "chroma_stem", "chroma_stem": {}}},
     "prefix .prepended: self_wav, description.*'musicgen-melody'"),
    ({"fuser__prepend": ["genre"], "conditioners__genre": GENRE}, "prepended: genre"),
    ({"conditioners__self_wav": {"model": "chroma_stem", "chroma_stem": {}},
      "fuser__cross": ["self_wav", "description"]}, r"more than text \(self_wav\)"),
    ({"conditioners__description": GENRE}, "not read by a T5"),
    ({"conditioners__description__t5__normalize_text": True}, "rewrites the text"),
    ({"lm_model": "transformer_lm_magnet"}, "'transformer_lm_magnet', which is not autoregressive"),
])
def test_models_that_cannot_be_explained_are_refused(copy, changes, match):
    fails(rewrite(copy, **changes), match)


@pytest.mark.parametrize(("changes", "codec", "match"), [
    ({"transformer_lm__causal": False}, {}, "not causal"),
    ({"codebooks_pattern__delay__empty_initial": -1}, {}, "no start column"),
    ({}, {"rvq__bins": 8}, "makes 16 codes, the codec knows 8"),
    ({}, {"rvq__n_q": 2}, "makes 4 codebooks, the codec knows 2"),
])
def test_parts_that_do_not_fit_are_refused(tmp_path, changes, codec, match):
    fails(save(tmp_path, changed(CONFIG, **changes), changed(CODEC, **codec)), match)


@pytest.fixture
def pickled(copy):
    """As some published checkpoints: the configuration is a pickled object, not text."""
    from omegaconf import OmegaConf

    package = torch.load(copy / "state_dict.bin")
    write(copy / "state_dict.bin", OmegaConf.create(package["xp.cfg"]), package["best_state"])
    return copy


def test_pickled_objects_are_refused_and_the_message_says_how_to_trust(pickled):
    message = fails(pickled, "holds pickled objects, which could run any code")
    assert f"set XATTNMASK_TRUST={pickled} in the environment" in message


def test_a_checkpoint_that_is_trusted_by_name_is_unpickled(pickled, audiogen, sound, monkeypatch):
    monkeypatch.setenv("XATTNMASK_TRUST", f"facebook/audiogen-medium, {pickled}")
    assert torch.equal(load_folder(pickled).replay(sound), audiogen.replay(sound))
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize("trusted", ["", "1", "facebook/audiogen-medium"])
def test_trust_in_others_is_no_trust(pickled, trusted, monkeypatch):
    monkeypatch.setenv("XATTNMASK_TRUST", trusted)
    fails(pickled, "pickled objects")


class Evil:
    def __reduce__(self):
        return (Path("ran").touch, ())


def test_no_code_of_a_checkpoint_runs_unasked(copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"xp.cfg": "", "best_state": {}, "more": Evil()}, copy / "state_dict.bin")
    with pytest.raises(CheckpointError):
        load_folder(copy)
    assert not Path("ran").exists()


def test_keys_load_by_name(folders):
    for key in ("audiogen", "musicgen-audiocraft"):
        model = load(key, str(folders["audiogen"]))
        assert model.key == key and model.checkpoint == str(folders["audiogen"])
