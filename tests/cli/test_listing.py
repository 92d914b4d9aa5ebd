"""``xattnmask models``, ``xattnmask methods``, help, version and completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from xattnmask.cli.options import complete_checkpoint, complete_method, complete_model
from xattnmask.plugins.discovery import ADAPTERS, METHODS


def test_models_tell_library_and_status(run, toy):
    toy.add("needy", {ADAPTERS: {"needy": "n", "toy": "t"}}, requires=["no-such-library>=2"])
    result = run("models")
    rows = [line.split() for line in result.out.splitlines()]
    assert rows == [
        ["MODEL", "DISTRIBUTION", "VERSION", "LIBRARY", "STATUS"],
        ["needy", "needy", "1.0", "no-such-library", "not", "installed", "missing", "library"],
        ["toy", "needy", "1.0", "no-such-library", "not", "installed", "conflict"],
        ["toy", "xattnmask-toy", "3.1", "-", "conflict"],
        [],
        ["CHECKPOINT", "DISTRIBUTION", "VERSION", "STATUS"],
        ["foley-musicgen", "xattnmask-toy", "3.1", "ok"],
        ["toy-small", "xattnmask-toy", "3.1", "ok"],
    ]
    assert "toy_plugin" not in sys.modules


def test_models_as_json(run, alone):
    alone.add("sirens", {ADAPTERS: {"siren": "s"}}, version="2", requires=["pytest>=1"])
    data = json.loads(run("models", "--json").out)
    (model,) = data["models"]
    (library,) = model.pop("libraries")
    assert model == {"key": "siren", "distribution": "sirens", "version": "2", "status": "ok"}
    assert library == {"name": "pytest", "requirement": "pytest>=1", "installed": pytest.__version__}
    assert data["checkpoints"] == []


def test_models_with_none_installed_say_how_to_get_one(run, alone):
    assert "no model is installed" in run("models").out
    assert json.loads(run("models", "--json").out) == {"models": [], "checkpoints": []}


def test_methods(run, alone):
    alone.add("some-methods", {METHODS: {"learned": "l"}}, modules={"l": '"""Learns a mask."""\nraise OSError'})
    rows = [line.split(maxsplit=4) for line in run("methods").out.splitlines()]
    assert rows == [["METHOD", "DISTRIBUTION", "VERSION", "STATUS", "DESCRIPTION"],
                    ["learned", "some-methods", "1.0", "ok", "Learns a mask."]]
    (method,) = json.loads(run("methods", "--json").out)["methods"]
    assert method == {"key": "learned", "distribution": "some-methods", "version": "1.0", "status": "ok",
                      "description": "Learns a mask."}


def test_the_built_in_methods_are_listed_with_a_line_each_beside_a_plugins(run, distributions):
    distributions.add("more", {METHODS: {"more": "m"}}, modules={"m": '"""More."""'})
    found = {method["key"]: method["description"] for method in json.loads(run("methods", "--json").out)["methods"]}
    assert set(found) >= {
        "learned", "random", "attention", "rollout", "attention-gradient", "grad-cam", "leave-one-out", "atman",
        "integrated-gradients", "shapley", "more",
    }  # fmt: skip
    assert all(found.values()) and found["more"] == "More."
    assert set(found) == {line.split()[0] for line in run("methods").out.splitlines()[1:]}


def test_methods_with_none_installed(run, alone):
    assert "no method is installed" in run("methods").out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["explain", "--help"], ["models", "--help"]])
def test_help(run, arguments):
    result = run(*arguments)
    assert result.code == 0
    assert "Usage: xattnmask" in result.out


def test_version(run):
    assert run("--version").out.startswith("xattnmask ")


@pytest.mark.parametrize("arguments", [["modles"], ["--nothing"], ["models", "extra"]])
def test_what_is_no_command_is_one_line(run, arguments):
    result = run(*arguments)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert result.err.startswith("xattnmask: error: ")


def test_completion_offers_installed_keys(toy):
    toy.add("some-methods", {METHODS: {"learned": "l"}})
    assert complete_model("t") == ["toy"]
    assert complete_checkpoint("toy") == ["toy-small"]
    assert complete_method("") == ["learned"]


def test_completion_works_in_the_shell():
    request = {"_XATTNMASK_COMPLETE": "complete_bash", "COMP_WORDS": "xattnmask mod", "COMP_CWORD": "1"}
    environment = {**os.environ, **request}
    code = "from xattnmask.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["models"]


@pytest.mark.parametrize("argument", ["--help", "models", "methods", "--version"])
def test_listing_imports_neither_torch_nor_a_plugin(toy, argument):
    code = ("import sys; from xattnmask.cli import _run; _run(sys.argv[1:], False); "
            "print([m for m in ('torch', 'numpy', 'matplotlib', 'transformers', 'toy_plugin') if m in sys.modules])")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(toy.site), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code, argument], env=environment, capture_output=True, text=True,
                          check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "xattnmask", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("xattnmask ")
