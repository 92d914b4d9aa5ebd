"""Which names load what, and what is told when they load nothing."""

from __future__ import annotations

import shutil
import sys

import pytest
import torch

from xattnmask import load
from xattnmask.errors import (
    CheckpointError,
    MissingLibraryError,
    PluginConflictError,
    PluginError,
    SettingError,
    UnknownKeyError,
)
from xattnmask.loading import resolve


@pytest.fixture
def folder(toy, tmp_path):
    return shutil.copytree(toy.site / "toy_weights", tmp_path / "weights")


def test_a_named_checkpoint_brings_its_model(toy):
    model = load(checkpoint="toy-small")
    assert (model.key, model.checkpoint) == ("toy", "toy-small")


def test_a_named_checkpoint_may_be_typed_as_the_model(toy):
    assert load("toy-small").checkpoint == "toy-small"


def test_with_nothing_named_the_default_is_loaded(toy):
    assert load().checkpoint == "foley-musicgen"


def test_model_and_named_checkpoint_may_agree(toy):
    assert load("toy", "toy-small").checkpoint == "toy-small"


def test_model_and_folder(folder):
    model = load("toy", str(folder))
    assert (model.key, model.checkpoint) == ("toy", str(folder))


def test_a_folder_relative_to_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load("toy", "~/weights").checkpoint == "~/weights"
    assert resolve("toy", "~/weights").location == str(folder)


@pytest.mark.parametrize("hub_id", ["someone/musicgen-small", "gpt2", "some-one/a_b.c"])
def test_a_hub_id_is_handed_to_the_adapter_as_it_is(toy, hub_id):
    assert resolve("toy", hub_id).location == hub_id


def test_a_named_checkpoint_comes_before_a_folder_of_that_name(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    folder.rename(folder.parent / "toy-small")
    assert resolve("toy", "toy-small").location != "toy-small"
    assert resolve("toy", "./toy-small").location == "toy-small"


def test_device_and_dtype_reach_the_adapter_also_as_torch_objects(toy):
    model = load("toy-small", device=torch.device("cpu"), dtype=torch.bfloat16)
    assert (model.device, model.dtype) == ("cpu", "bfloat16")


def test_resolving_imports_no_adapter(toy, folder):
    resolve("toy", str(folder))
    assert "toy_plugin" not in sys.modules


@pytest.mark.parametrize(("arguments", "error", "told"), [
    (["toy"], SettingError, "model 'toy' needs a checkpoint: a folder, a hub id or one of foley-musicgen, toy-small"),
    (["tyo"], UnknownKeyError, "no model 'tyo': did you mean toy"),
    (["toy-smal"], UnknownKeyError, "did you mean toy-small"),
    (["tyo", "toy-small"], SettingError, "checkpoint 'toy-small' is of model 'toy', not 'tyo'"),
    (["tyo", "."], UnknownKeyError, "no model 'tyo': did you mean toy"),
    ([None, "."], SettingError, "name the model that loads '.': one of toy"),
    ([None, "someone/model"], SettingError, "name the model that loads 'someone/model'"),
    ([None, "toy-smal"], UnknownKeyError, "no checkpoint named 'toy-smal': did you mean toy-small"),
    (["toy", "./nowhere"], CheckpointError, "'./nowhere' is neither a folder that exists nor a hub id"),
    (["toy", "/a/b/c"], CheckpointError, "'/a/b/c' is neither"),
    (["toy", ""], CheckpointError, "'' is neither"),
    (["toy", __file__], CheckpointError, "is a file: give the folder it is in"),
])
def test_names_that_load_nothing(toy, arguments, error, told):
    with pytest.raises(error) as caught:
        load(*arguments)
    assert told in str(caught.value)


def test_with_nothing_installed(alone):
    with pytest.raises(SettingError, match=r"the default, foley-musicgen, is not installed \(no model is installed"):
        load()
    with pytest.raises(UnknownKeyError, match=r"no model 'musicgen': no model is installed .*pip install"):
        load("musicgen", "facebook/musicgen-small")


def test_a_named_checkpoint_whose_model_is_not_installed(alone, toy):
    (toy.site / "xattnmask_toy-3.1.dist-info" / "entry_points.txt").write_text(
        "[xattnmask.checkpoints]\ntoy-small = toy_plugin\n")
    with pytest.raises(UnknownKeyError, match="no model 'toy'"):
        load("toy-small")


def test_a_contested_model_is_told_before_it_is_loaded(toy):
    toy.add("rival", {"xattnmask.adapters": {"toy": "rival"}})
    with pytest.raises(PluginConflictError, match=r"rival.*xattnmask-toy"):
        resolve("toy", ".")


def test_a_named_checkpoint_without_its_folder(toy):
    shutil.rmtree(toy.site / "toy_weights")
    with pytest.raises(CheckpointError, match=r"checkpoint 'toy-small' should be in .*toy_weights"):
        load("toy-small")


def test_a_corrupt_checkpoint(folder):
    (folder / "toy.json").write_text("{")
    with pytest.raises(CheckpointError, match="holds no toy"):
        load("toy", str(folder))


def test_what_the_library_says_of_a_checkpoint_is_one_line(folder):
    (folder / "toy.json").write_text('{"fault": "OSError"}')
    with pytest.raises(CheckpointError, match="could not be loaded as toy: what the library says of it"):
        load("toy", str(folder))


def test_a_library_missing_only_at_loading(folder, toy):
    (folder / "toy.json").write_text('{"fault": "ImportError"}')
    with pytest.raises(PluginError, match="'toy' of xattnmask-toy"):
        load("toy", str(folder))
    metadata = toy.site / "xattnmask_toy-3.1.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Dist: no-such-library\n")
    with pytest.raises(MissingLibraryError, match="pip install no-such-library"):
        load("toy", str(folder))


@pytest.mark.parametrize(("options", "told"), [
    ({"dtype": "flaot32"}, "no dtype 'flaot32': did you mean float32"),
    ({"dtype": "int8"}, "no dtype 'int8'"),
    ({"device": "cdua"}, "no device 'cdua': did you mean cuda"),
    ({"device": "cuda:x"}, "no device 'cuda:x': did you mean cuda"),
    ({"device": "cpu:1"}, "device 'cpu:1' is not available"),
    ({"device": "cuda:99"}, "device 'cuda:99' is not available"),
])
def test_devices_and_dtypes_that_are_none(toy, options, told):
    with pytest.raises(SettingError) as caught:
        load("toy-small", **options)
    assert told in str(caught.value)


def test_a_device_this_machine_lacks(toy, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingError, match="torch sees no cuda device here"):
        load("toy-small", device="cuda")
