"""``xattnmask compare`` and ``xattnmask plot``: saved explanations, without a model."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest


@pytest.fixture
def saved(run, explainer, tmp_path):
    """Two explanations: of other seeds, and the second of another prompt."""
    for name, prompt in (("one", "a dog barks"), ("two", "a dog howls")):
        assert run("explain", prompt, "--out", tmp_path / name).code == 0
    return tmp_path / "one", tmp_path / "two"


def test_compare(run, saved):
    done = run("compare", *saved)
    assert (done.code, done.err) == (0, "")
    assert "the second less the first" in done.out and "only in the first: barks" in done.out


def test_compare_as_json_and_as_a_page(run, saved, tmp_path):
    done = run("compare", *saved, "--json", "--out", tmp_path / "page.html")
    data = json.loads(done.out)
    assert [word["text"] for word in data["words"]] == ["a", "dog", "barks", "howls"]
    assert (data["words"][1]["first"], data["words"][1]["difference"]) == (1, 0)
    assert data["report"] == str(tmp_path / "page.html")
    assert "<!doctype html>" in (tmp_path / "page.html").read_text()


def test_compare_needs_two_explanations(run, saved, tmp_path):
    assert run("compare", saved[0]).code == 2
    done = run("compare", saved[0], tmp_path)
    assert done.code == 2 and "no explanation at" in done.err


@pytest.mark.parametrize("kind", ["heatmap", "words"])
def test_plot(run, saved, tmp_path, kind):
    done = run("plot", saved[0], "--kind", kind, "--out", tmp_path / "p.svg")
    assert (done.code, done.err) == (0, "") and (tmp_path / "p.svg").read_text().startswith("<?xml")


def test_plot_maps_of_words(run, saved, tmp_path):
    from dataclasses import replace

    from xattnmask import AttentionMap, Explanation

    made = Explanation.load(saved[0])
    plane = AttentionMap(np.ones((len(made.tokens), 4, 2)), np.linspace(0, 1, 5), [50.0, 400.0, 900.0])
    replace(made, attention_map=plane).save(saved[0])
    done = run("plot", saved[0], "--kind", "map", "--word", "dog", "--word", "barks", "--out", tmp_path / "p.svg")
    assert (done.code, done.err) == (0, "") and (tmp_path / "p.svg").read_text().startswith("<?xml")


def test_plot_a_comparison_as_json(run, saved, tmp_path):
    done = run("plot", saved[0], "--kind", "comparison", "--other", saved[1], "--out", tmp_path / "p.pdf", "--json")
    assert json.loads(done.out) == {"kind": "comparison", "file": str(tmp_path / "p.pdf")}
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(("arguments", "told"), [
    (["--kind", "heatmpa"], "no kind 'heatmpa': did you mean heatmap"),
    (["--kind", "steps"], "no denoising steps"),
    (["--kind", "map"], "no map of time and frequency"),
    (["--kind", "map", "--word", "cat"], "no word 'cat'"),
    (["--word", "dog"], "--word goes with --kind map"),
    (["--kind", "comparison"], "--kind comparison and --other DIR go together"),
    (["--other", "x"], "go together"),
    (["--out", "p.jpg"], "must end in .png, .pdf, .svg"),
])
def test_plots_that_cannot_be(run, saved, arguments, told):
    done = run("plot", saved[0], *arguments)
    assert (done.code, done.out) == (2, "") and told in done.err and done.err.count("\n") == 1


def test_neither_needs_a_model(run, saved):
    sys.modules.pop("toy_plugin", None)
    assert run("compare", *saved).code == 0
    assert "toy_plugin" not in sys.modules
