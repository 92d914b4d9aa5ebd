"""The conformance kit on AudioGen and MusicGen of audiocraft, and where several conditions are cross-attended."""

from __future__ import annotations

from functools import partial

from xattnmask.testing.suite import conformance


def folder(kind, request):
    return request.getfixturevalue("folders")[kind]


test_audiogen = conformance("audiogen", partial(folder, "audiogen"), duration=0.4)
test_musicgen = conformance("musicgen-audiocraft", partial(folder, "stereo"), duration=0.4)
test_several_conditions = conformance("audiogen", partial(folder, "several"), duration=0.4)
