"""PaSST as a judge, on small random weights of hear21passt's own class."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from xattnmask import CheckpointError, SettingError, list_judges, load_judge

CONFIG = {"img_size": [128, 998], "stride": [10, 10], "num_classes": 5, "embed_dim": 24, "depth": 1, "num_heads": 2,
          "distilled": True}
SOUND = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from xattnmask_passt.library import Network as PaSST

    path = tmp_path_factory.mktemp("passt")
    torch.manual_seed(0)
    network = PaSST(**{**CONFIG, "img_size": (128, 998), "stride": (10, 10)})
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    (path / "config.json").write_text(json.dumps(CONFIG))
    (path / "labels.txt").write_text("dog\nrain\nbell\nwind\nsiren\n")
    save_file(network.state_dict(), path / "model.safetensors")
    return path


def test_it_is_listed():
    assert "passt" in {offer.key for offer in list_judges()}


def test_it_says_what_the_library_says(folder, capsys):
    """The network of hear21passt behind its own spectrogram, by hand."""
    from xattnmask_passt.library import AugmentMelSTFT
    from xattnmask_passt.library import Network as PaSST

    judge = load_judge("passt", str(folder))
    assert capsys.readouterr().out == "" and judge.labels == ("dog", "rain", "bell", "wind", "siren")
    network = PaSST(**{**CONFIG, "img_size": (128, 998), "stride": (10, 10)}).eval()
    network.load_state_dict(judge.model.net.state_dict())
    mel = AugmentMelSTFT(n_mels=128, sr=32000, win_length=800, hopsize=320, n_fft=1024, freqm=48, timem=192, htk=False,
                         fmin=0.0, fmax=None, norm=1, fmin_aug_range=10, fmax_aug_range=2000).eval()
    with torch.no_grad():
        logits, _ = network(mel(torch.from_numpy(SOUND[None]))[:, None])
    capsys.readouterr()
    found = judge(SOUND, 32000)
    np.testing.assert_allclose(found, logits[0].softmax(-1).numpy(), atol=1e-6)
    assert capsys.readouterr().out == "" and np.ptp(found) > 1e-3


def test_sounds_of_all_lengths_and_kinds(folder):
    judge = load_judge("passt", str(folder))
    long = np.tile(SOUND, 20)
    halves = [judge(long[:320000], 32000), judge(long[320000:], 32000)]
    np.testing.assert_allclose(judge(long, 32000), np.mean(halves, 0), atol=1e-6)
    assert judge(SOUND[:50], 32000).sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(judge(np.stack([SOUND, SOUND]), 32000), judge(SOUND, 32000), atol=1e-6)
    assert judge(SOUND, 16000).shape == (5,)


def test_labels_without_names_are_numbers(folder, tmp_path):
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    assert load_judge("passt", str(tmp_path)).labels[:2] == ("class 0", "class 1")
    (tmp_path / "labels.txt").write_text("dog\n")
    with pytest.raises(CheckpointError, match="has 1 labels and the network 5"):
        load_judge("passt", str(tmp_path))


def test_what_cannot_be_loaded(folder, tmp_path):
    with pytest.raises(CheckpointError, match="neither a folder nor a network that hear21passt knows"):
        load_judge("passt", "passt_of_my_own")
    with pytest.raises(CheckpointError, match="holds no PaSST"):
        load_judge("passt", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "embed_dim": 12}))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="holds no PaSST: Error"):
        load_judge("passt", str(tmp_path))
    with pytest.raises(SettingError, match="device 'cuda:77' cannot be used"):
        load_judge("passt", str(folder), device="cuda:77")


def test_a_download_that_fails_is_told(monkeypatch):
    from xattnmask_passt import loading

    def unreachable(**settings):
        raise OSError("no network\nat all")

    monkeypatch.setattr(loading, "get_basic_model", unreachable)
    with pytest.raises(CheckpointError, match=r"could not get passt_s_swa_p16_128_ap476 \(offline\?\): no network$"):
        load_judge("passt")


def test_a_file_is_downloaded_once(tmp_path, monkeypatch):
    from xattnmask_passt import library

    monkeypatch.setattr(library.torch.hub, "get_dir", lambda: str(tmp_path))
    asked = []
    monkeypatch.setattr(library.torch.hub, "download_url_to_file",
                        lambda url, file, *more, **settings: asked.append(url) or open(file, "wb").close())
    for _ in range(2):
        found = library.download_cached_file("https://example.org/a/passt.pt?raw=1")
    assert found == str(tmp_path / "checkpoints" / "passt.pt") and len(asked) == 1


def test_neither_timm_nor_torchvision_is_needed_or_left_behind():
    code = ("import sys; sys.modules['torchvision'] = None; import xattnmask_passt.judge; "
            "print([name for name in sys.modules if name.partition('.')[0] == 'timm'])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_installer_keeps_torch_and_takes_the_library_alone(monkeypatch, tmp_path):
    from xattnmask_passt import install

    broken = tmp_path / "lib.so"
    broken.write_bytes(b"libc10_cuda.so")
    commands = []
    monkeypatch.setattr(install, "cuda_libraries", lambda: [broken])
    monkeypatch.setattr(install.subprocess, "run",
                        lambda command, check: commands.append(command[3:]) or SimpleNamespace(returncode=0))
    assert install.main(["-c", "pins.txt"]) == 0 and not broken.exists()
    assert commands[0][-2:] == [install.TORCHAUDIO, f"torch=={metadata.version('torch')}"]
    assert commands[1][-2:] == ["--no-deps", install.HEAR21PASST]
    monkeypatch.setattr(install.subprocess, "run", lambda command, check: SimpleNamespace(returncode=3))
    assert install.main() == 3
