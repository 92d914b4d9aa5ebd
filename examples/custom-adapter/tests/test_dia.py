"""The outsider's adapter: installed, found, listed, short, checked by the kit, and used from the shell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xattnmask_dia

import xattnmask as xm
from xattnmask.cli import main
from xattnmask.testing.suite import conformance

test_conforms = conformance("dia", duration=0.4)


def test_it_is_short():
    assert len(Path(xattnmask_dia.__file__).read_text().splitlines()) < 80


def test_it_is_installed_and_listed():
    (dia,) = [model for model in xm.list_models() if model.key == "dia"]
    assert (dia.distribution, dia.status) == ("xattnmask-dia", "ok")
    assert [library.name for library in dia.libraries] == ["transformers"]


def test_it_generates_what_the_library_does(checkpoint):
    """The processor, the model and the seed by hand, as the library's own documentation has it."""
    model = xm.load("dia", str(checkpoint))
    ours = model.generate("[S1] a dog barks", seed=5, duration=0.4, guidance=2.0)
    torch.manual_seed(5)
    inputs = model.processor(text=["[S1] a dog barks"], padding=True, return_tensors="pt")
    codes = model.backbone.generate(**inputs, guidance_scale=2.0, max_new_tokens=26, do_sample=True)
    np.testing.assert_array_equal(ours.audio, model.processor.batch_decode(codes)[0].numpy())
    assert inputs["input_ids"][0].tolist() == [token.id for token in ours.tokens]
    assert [word.text for word in ours.words] == ["S1", "a", "dog", "barks"]


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return stop.value.code


def test_it_is_explained_from_the_shell(checkpoint, tmp_path, capsys):
    assert run("explain", "a dog", "--model", "dia", "--checkpoint", checkpoint, "--duration", "0.4", "--out", tmp_path,
               "--no-report", "--json") == 0
    words = json.loads((tmp_path / "explanation.json").read_text())["words"]
    assert [word["text"] for word in words] == ["a", "dog"]
    capsys.readouterr()
    only = ["--only", "tokens", "--only", "replay"]
    assert run("check", "dia", "--checkpoint", checkpoint, "--duration", "0.4", *only) == 0
    assert "2 passed" in capsys.readouterr().out
