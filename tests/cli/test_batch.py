"""``xattnmask explain --prompts``: many prompts, going on, and failing one by one."""

from __future__ import annotations

import json
import os

import pytest

from xattnmask import Explanation, NumericalError


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a dog barks\n\n  the   rain \na b c d e f g h i j\na dog barks\n", encoding="utf-8")
    return path


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.csv"
    path.write_text('id,caption\n1,"a dog, barking"\n2,rain\n', encoding="utf-8")
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_each_prompt_has_a_folder_and_one_failure_stops_no_other(run, explainer, prompts, out):
    done = run("explain", "--prompts", prompts, "--out", out)
    assert done.code == 2
    assert done.err == ("xattnmask: error: 1 of 4 prompts failed; number 3: the prompt has 11 tokens and the text "
                        "encoder takes 9: shorten it\n")
    assert sorted(os.listdir(out)) == [
        "0001-a-dog-barks", "0002-the-rain", "0004-a-dog-barks", "batch.json", "index.html"]
    assert Explanation.load(out / "0002-the-rain").prompt == "the rain"
    assert "[3/4] a b c d e f g h i j: the prompt has 11 tokens" in done.out
    assert "3 of 4 prompts are explained" in done.out
    index = (out / "index.html").read_text()
    assert index.count("/report.html") == 3 and "failed: the prompt has 11 tokens" in index
    assert (out / "0001-a-dog-barks" / "report.html").exists()


def test_a_csv_and_json(run, explainer, good, out):
    done = run("explain", "--prompts", good, "--out", out, "--json")
    assert done.code == 0
    data = json.loads(done.out)
    assert [item["prompt"] for item in data["prompts"]] == ["a dog, barking", "rain"]
    assert [word["text"] for word in data["prompts"][0]["words"]] == ["a", "dog", "barking"]
    assert all(item["error"] is None and os.path.isdir(item["folder"]) for item in data["prompts"])


def test_what_is_finished_is_not_done_again_and_what_is_not_is(run, explainer, good, out):
    run("explain", "--prompts", good, "--out", out)
    assert len(explainer.calls) == 2
    assert run("explain", "--prompts", good, "--out", out).code == 0
    assert len(explainer.calls) == 2
    (out / "0002-rain" / "explanation.json").unlink()
    assert run("explain", "--prompts", good, "--out", out).code == 0
    assert len(explainer.calls) == 3 and (out / "0002-rain" / "explanation.json").exists()


def test_an_interrupted_batch_goes_on_where_it_stopped(run, explainer, good, out, monkeypatch):
    explain = explainer.explain

    def stop(*arguments, **settings):
        if len(explainer.calls) == 1:
            raise KeyboardInterrupt
        return explain(*arguments, **settings)

    monkeypatch.setattr(explainer, "explain", stop)
    assert run("explain", "--prompts", good, "--out", out).code == 130
    assert sorted(os.listdir(out)) == ["0001-a-dog-barking", "batch.json", "index.html"]
    assert "1 to come" in (out / "index.html").read_text()
    monkeypatch.setattr(explainer, "explain", explain)
    assert run("explain", "--prompts", good, "--out", out).code == 0
    assert len(explainer.calls) == 2


def test_errors_of_any_kind_are_noted(run, explainer, good, out):
    explainer.fault = NumericalError("NaN at\nstep 3")
    done = run("explain", "--prompts", good, "--out", out)
    assert done.code == 2 and "2 of 2 prompts failed; number 1: NaN at step 3" in done.err
    explainer.fault = ZeroDivisionError("division")
    done = run("explain", "--prompts", good, "--out", out)
    assert done.code == 2 and "unexpected ZeroDivisionError: division" in done.err
    explainer.fault = None
    assert run("explain", "--prompts", good, "--out", out).code == 0
    assert "failed:" not in (out / "index.html").read_text()


def test_other_options_need_another_folder(run, explainer, good, out):
    run("explain", "--prompts", good, "--out", out)
    done = run("explain", "--prompts", good, "--out", out, "--seed", 5, "--steps", 3)
    assert done.code == 2 and "holds a batch with other options (seed, steps): give another --out" in done.err
    (out / "batch.json").write_text("{}")
    assert "is not the state of a batch" in run("explain", "--prompts", good, "--out", out).err


@pytest.mark.parametrize(("name", "content", "told"), [
    ("p.txt", None, "cannot read"), ("p.txt", b"", "holds no prompt"), ("p.txt", b" \n\n", "holds no prompt"),
    ("p.txt", b"\xff\xfe\x00", "is not UTF-8 text"), ("p.csv", b"text\nrain\n", "has no column 'caption': it has text"),
    ("p.csv", b"", "has no column 'caption': it has none"), ("p.csv", b"caption\n", "holds no prompt"),
    ("p.csv", b'caption\n"rain\n', "as CSV"),
])
def test_files_that_hold_no_prompts(run, explainer, out, tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run("explain", "--prompts", tmp_path / name, "--out", out)
    assert (done.code, done.err.count("\n")) == (2, 1) and told in done.err and not out.exists()


def test_prompts_that_no_file_name_can_hold(run, explainer, out, tmp_path):
    (tmp_path / "p.txt").write_text("犬 ../../etc\n" + "long " * 5 + "word" * 60 + "\n...\n", encoding="utf-8-sig")
    done = run("explain", "--prompts", tmp_path / "p.txt", "--out", out)
    assert "number 3: the prompt is empty" in done.err
    assert sorted(os.listdir(out))[:2] == ["0001-etc", "0002-long-long-long-long-long-wordwordwordwor"]
