"""``xattnmask evaluate``, ``judges`` and ``worlds``."""

from __future__ import annotations

import json
import os

import pandas as pd
import pytest

from xattnmask.evaluation import scoring
from xattnmask.plugins.discovery import METHODS

AUDIOCAPS = """audiocap_id,youtube_id,start_time,caption
97151,vfY_TJq7n_U,130,"Rustling, then a dog"
104432,tdWhHV3X25Q,60,Applause
,,,
"""


@pytest.fixture
def installed(toy):
    """The toy in the place of the default checkpoint, and two real methods."""
    toy.add("methods", {METHODS: {"learned": "xattnmask.methods.learned", "attention": "xattnmask.methods.attention"}})
    return toy


@pytest.fixture
def captions(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text(AUDIOCAPS, encoding="utf-8")
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def arguments(captions, out, *more):
    return ("evaluate", "--prompts", captions, "--methods", "attention,learned:steps=1", "--judge", "toy",
            "--repeats", 1, "--duration", 0.4, "--out", out, *more)


def test_audiocaps_own_file_as_it_is(run, installed, captions, out):
    done = run(*arguments(captions, out))
    assert done.code == 0, done.err
    assert done.out.startswith("2 prompts, 2 methods\n") and "| learned:steps=1 |" in done.out
    table = pd.read_csv(out / "results.csv")
    assert table["prompt"].tolist() == ["Rustling, then a dog"] * 2 + ["Applause"] * 2
    assert table["youtube_id"].tolist() == ["vfY_TJq7n_U"] * 2 + ["tdWhHV3X25Q"] * 2
    assert sorted(os.listdir(out)) == ["prompts", "results.csv", "results.parquet", "settings.json", "summary.csv",
                                       "summary.md"]


def test_json(run, installed, captions, out):
    data = json.loads(run(*arguments(captions, out, "--json", "--limit", 1)).out)
    assert data["prompts"] == 1 and data["methods"] == ["attention", "learned:steps=1"] and data["errors"] == []
    assert {"method", "score", "mean", "p_holm"} <= set(data["summary"][0])
    assert os.path.isdir(data["folder"])


def test_a_world(run, installed, out):
    done = run("evaluate", "--world", "toy", "--limit", 2, "--methods", "attention", "--duration", 0.48, "--out", out)
    assert done.code == 0, done.err
    assert "frame AUC" in done.out and "Fid_F" not in done.out


def test_failures_are_told_at_the_end(run, installed, captions, out, monkeypatch):
    monkeypatch.setattr(scoring, "explain", lambda *a, **k: 1 / 0)
    done = run(*arguments(captions, out))
    assert done.code == 2 and "2 prompts, 2 methods, 4 rows failed" in done.out
    assert done.err == ("xattnmask: error: 4 of 4 rows failed; prompt 1, attention: unexpected ZeroDivisionError: "
                        "division by zero\n")


def test_zero_shot_labels_come_from_a_file(run, installed, captions, out, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("a dog\nrain\n")
    assert "has labels of its own" in run(*arguments(captions, out, "--labels", labels)).err


@pytest.mark.parametrize(("given", "told"), [
    (("--prompts", "{captions}", "--world", "toy"), "give --prompts FILE or --world NAME"), ((), "give --prompts FILE"),
    (("--world", "toi"), "no world 'toi': did you mean toy?"),
    (("--world", "toy", "--methods", "lerned"), "no method 'lerned': did you mean learned?"),
    (("--world", "toy", "--methods", "learned:steps"), "not 'learned:steps'"),
    (("--world", "toy", "--methods", "learned,learned"), "each once"),
    (("--world", "toy", "--methods", "learned:stepz=3"), "no setting 'stepz'; did you mean steps or per_step?"),
    (("--world", "toy", "--judge", "toi"), "no judge 'toi': did you mean toy?"),
    (("--world", "toy", "--labels", "x"), "go with --judge"),
    (("--world", "toy", "--judge", "toy", "--judge-checkpoint", "nowhere"), "judge 'toy' could not be loaded"),
    (("--world", "toy", "--checkpoint", "toy-smal"), "did you mean toy-small"),
    (("--world", "toy", "--metrics", "truth,fidelty"), "no metric 'fidelty'"),
    (("--world", "toy", "--generate", "steps"), "--generate takes NAME=VALUE, each name once"),
    (("--prompts", "{folder}/nothing.csv"), "cannot read"), (("--prompts", "{folder}/empty.csv"), "holds no prompt"),
    (("--prompts", "{folder}/other.csv"), "has no column 'caption': it has id, text"),
    (("--world", "toy", "--out", "{folder}/empty.csv"), "is a file: give the name of a folder"),
])
def test_what_is_wrong_is_told_in_one_line(run, installed, captions, tmp_path, given, told):
    (tmp_path / "empty.csv").write_text("caption\n")
    (tmp_path / "other.csv").write_text("id,text\n1,rain\n")
    given = [str(part).format(captions=captions, folder=tmp_path) for part in given]
    given = given if "--out" in given else [*given, "--out", tmp_path / "out"]
    done = run("evaluate", *given)
    assert done.code == 2 and done.err.count("\n") == 1 and told in done.err
    assert not (tmp_path / "out").exists()


def test_changed_settings_in_a_folder_that_is_resumed(run, installed, captions, out):
    run(*arguments(captions, out))
    done = run(*arguments(captions, out, "--seed", 3))
    assert done.code == 2 and "holds an evaluation with other settings (seed): give another folder" in done.err


def test_an_interruption_and_going_on(run, installed, captions, out, monkeypatch):
    real, calls = scoring.Bench.rows, []

    def rows(bench, case):
        calls.append(case.prompt)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(bench, case)

    monkeypatch.setattr(scoring.Bench, "rows", rows)
    assert run(*arguments(captions, out)).code == 130
    assert run(*arguments(captions, out)).code == 0
    assert calls == ["Rustling, then a dog", "Applause", "Applause"]


@pytest.mark.parametrize("kind", ["judges", "worlds"])
def test_what_is_installed_is_listed(run, toy, kind):
    assert run(kind).out.splitlines()[1].split()[:4] == ["toy", "xattnmask-toy", "3.1", "ok"]
    (found,) = json.loads(run(kind, "--json").out)[kind]
    assert found.pop("description")
    assert found == {"key": "toy", "distribution": "xattnmask-toy", "version": "3.1", "status": "ok"}


@pytest.mark.parametrize("kind", ["judge", "world"])
def test_nothing_is_installed(run, alone, kind):
    assert run(f"{kind}s").out == f"no {kind} is installed (install a package that offers {kind}s)\n"
