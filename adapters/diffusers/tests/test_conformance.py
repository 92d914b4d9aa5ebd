"""The conformance kit on every pipeline."""

from __future__ import annotations

from functools import partial

from xattnmask.testing.suite import conformance


def folder(key, request):
    return request.getfixturevalue("checkpoints")(key)


def pipeline(key):
    return conformance(key, partial(folder, key), duration=0.6, settings={"steps": 3})


test_audioldm = pipeline("audioldm")
test_audioldm2 = pipeline("audioldm2")
test_musicldm = pipeline("musicldm")
test_stable_audio = pipeline("stable-audio")
test_stable_audio_3 = pipeline("stable-audio-3")
