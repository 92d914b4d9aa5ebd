"""The conformance kit on MusicGen, mono and stereo, and MusicGen-melody."""

from __future__ import annotations

import pytest
import transformers

from xattnmask.testing.suite import conformance

from .conftest import save_melody, save_musicgen


@pytest.fixture(scope="module")
def stereo_folder(tmp_path_factory):
    return save_musicgen(tmp_path_factory.mktemp("stereo"), channels=2)


@pytest.fixture(scope="module")
def melody_folder(tmp_path_factory):
    if transformers.__version__.startswith("4."):
        pytest.skip("transformers 4 drops the text of MusicGen-melody")
    return save_melody(tmp_path_factory.mktemp("melody"))


test_musicgen = conformance("musicgen", "musicgen_folder", duration=0.4)
test_stereo = conformance("musicgen", "stereo_folder", duration=0.4)
test_melody = conformance("musicgen-melody", "melody_folder", duration=0.4)
