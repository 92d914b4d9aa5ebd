"""``xattnmask study``."""

from __future__ import annotations

import json
import os

import pytest

from xattnmask.plugins.discovery import METHODS


@pytest.fixture
def installed(toy):
    toy.add("methods", {METHODS: {
        "learned": "xattnmask.methods.learned", "attention": "xattnmask.methods.attention",
        "leave-one-out": "xattnmask.methods.leave_one_out"}})  # fmt: skip
    return toy


def test_studies_are_listed_with_what_they_take(run, toy):
    told = run("study").out
    assert "ablation: What the two parts" in told and "    --set template=...  a prompt with fillers" in told
    assert "sanity" in [study["name"] for study in json.loads(run("study", "--json").out)["studies"]]


def test_a_table_and_a_plot(run, installed, tmp_path):
    out = tmp_path / "out"
    done = run("study", "bias", "--set", "template=a {dog,bell} sounds", "--set", "sounds=3", "--set",
               "method=attention", "--duration", 0.4, "--out", out)
    assert done.code == 0, done.err
    assert "| dog | bell |" in done.out and "bias.csv, bias.md, bias.svg are in" in done.out
    assert sorted(os.listdir(out)) == ["bias.csv", "bias.md", "bias.svg"]


def test_json_on_a_world(run, installed, tmp_path):
    done = run("study", "aggregation", "--world", "toy", "--limit", 2, "--set", "method=attention", "--duration", 0.48,
               "--out", tmp_path / "out", "--json")
    data = json.loads(done.out)
    assert data["study"] == "aggregation" and len(data["files"]) == 3 and "| mean |" in data["table"]


@pytest.mark.parametrize(("given", "told"), [
    (("sanitty",), "no study 'sanitty': did you mean sanity?"),
    (("bias", "--set", "template"), "--set takes OPTION=VALUE"),
    (("bias", "--set", "templat=x"), "has no option 'templat'; it has: template, sounds, method"),
    (("bias", "--set", "sounds=1", "--set", "sounds=2"), "each option once"),
    (("diffusion", "--world", "toy"), "study 'diffusion' is for diffusion models; 'toy' is autoregressive"),
    (("tuning", "--world", "toy", "--set", "with=nowhere"), "nowhere holds no tuning of another model"),
    (("sanity",), "needs prompts or a world"), (("sanity", "--world", "toi"), "did you mean toy?"),
    (("sanity", "--world", "toy", "--prompts", "x"), "not both"),
    (("sanity", "--world", "toy", "--limit", 0), "limit must"),
    (("ablation", "--world", "toy", "--judge", "toi"), "no judge 'toi'"), (("ablation",), "give prompts, or a world"),
])
def test_what_is_wrong_is_told_in_one_line(run, installed, tmp_path, given, told):
    done = run("study", *given, "--out", tmp_path / "out")
    assert done.code == 2 and done.err.count("\n") == 1 and told in done.err
    assert not (tmp_path / "out").exists()
