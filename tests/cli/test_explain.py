"""``xattnmask explain``: files, printing, and every way it can go wrong."""

from __future__ import annotations

import json
import os
import sys

import pytest

from xattnmask import Explanation, NumericalError

FILES = ["audio.wav", "counterfactual.wav", "explanation.json", "factual.wav", "heatmap.png", "report.html"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_all_files_are_written_and_the_words_printed(run, explainer, out):
    result = run("explain", "a dog barks", "--out", out)
    assert result.code == 0
    assert sorted(os.listdir(out)) == FILES
    assert [line.split()[0] for line in result.out.splitlines()[:3]] == ["a", "dog", "barks"]
    assert "note: the mask is a fake" in result.out
    assert str(out) in result.out
    assert result.err == ""


def test_what_is_written_can_be_read_again(run, explainer, out):
    run("explain", "a dog barks", "--out", out, "--duration", "0.4")
    explanation = Explanation.load(out)
    assert (explanation.prompt, explanation.checkpoint) == ("a dog barks", "foley-musicgen")
    assert set(explanation.audio) == {"audio", "factual", "counterfactual"}
    assert explanation.audio["audio"].shape == (640,)


def test_json_is_one_object_and_nothing_else(run, explainer, out):
    result = run("explain", "a dog barks", "--out", out, "--json", "--seed", "4")
    data = json.loads(result.out)
    assert (data["prompt"], data["model"], data["checkpoint"], data["seed"]) == (
        "a dog barks", "toy", "foley-musicgen", 4)
    assert [word["text"] for word in data["words"]] == ["a", "dog", "barks"]
    assert sorted(os.path.basename(path) for path in data["files"].values()) == FILES
    assert all(os.path.isabs(path) for path in data["files"].values())
    assert set(data["seconds"]) == {"load", "generate", "explain", "regenerate", "write"}
    assert data["diagnostics"] == ["the mask is a fake"]


def test_what_others_print_does_not_spoil_the_json(run, explainer, toy, out):
    chatty = "from xattnmask import hookimpl\n@hookimpl\ndef xattnmask_start(): print('I am a tracker')\n"
    toy.add("chatty", {"xattnmask.listeners": {"chatty": "chatty_plugin"}}, modules={"chatty_plugin": chatty})
    result = run("explain", "a dog barks", "--out", out, "--json")
    assert json.loads(result.out)["prompt"] == "a dog barks"
    assert result.err == "I am a tracker\n"


def test_options_that_are_not_given_are_not_passed_on(run, explainer, out):
    run("explain", "a dog", "--out", out)
    assert explainer.calls == [{"method": "learned", "seed": 0}]
    settings = Explanation.load(out).generation_settings
    assert settings == {"duration": 2.0, "guidance": 3.0}  # the toy's longest; guidance by default


def test_options_that_are_given_are_passed_on(run, explainer, out):
    run("explain", "a dog", "--out", out, "--seed", 7, "--duration", 1, "--guidance", 1.5, "--method", "attention",
        "--context", "none", "--steps", 3, "--preset", "paper", "--model", "toy", "--checkpoint", "toy-small")
    assert explainer.calls == [
        {"method": "attention", "seed": 7, "context": "none", "steps": 3, "preset": "paper"}]
    explanation = Explanation.load(out)
    assert explanation.generation_settings == {"duration": 1.0, "guidance": 1.5}
    assert (explanation.seed, explanation.checkpoint) == (7, "toy-small")


def test_the_default_folder_is_in_the_working_directory(run, explainer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("explain", "a dog").code == 0
    assert sorted(os.listdir("xattnmask-out")) == FILES


def test_a_prompt_that_looks_like_an_option_goes_after_two_dashes(run, explainer, out):
    assert run("explain", "--out", out, "--", "--dog barks").code == 0


@pytest.mark.parametrize(("arguments", "told"), [
    ([""], "the prompt is empty: give at least one word"),
    (["  ... "], "the prompt is empty"),
    (["a b c d e f g h i j"], "the prompt has 11 tokens and the text encoder takes 9: shorten it"),
    (["a", "--model", "tyo"], "no model 'tyo': did you mean toy"),
    (["a", "--checkpoint", "toy-smal"], "no checkpoint named 'toy-smal': did you mean toy-small"),
    (["a", "--model", "toy", "--checkpoint", "./nowhere"], "'./nowhere' is neither a folder that exists nor a hub id"),
    (["a", "--model", "toy", "--checkpoint", "no/where"], "no/where holds no toy"),
    (["a", "--duration", "0"], "duration must be above 0, not 0"),
    (["a", "--duration", "nan"], "duration must be above 0, not nan"),
    (["a", "--duration", "2.5"], "duration must be above 0 and at most 2 s, not 2.5"),
    (["a", "--guidance", "inf"], "guidance must be a finite number, not inf"),
    (["a", "--steps", "0"], "steps must be at least 1, not 0"),
    (["a", "--steps", "many"], "--steps"),
    (["a", "--seed", "-1"], "seed must be between 0"),
    (["a", "--context", "frozne"], "no context 'frozne': did you mean frozen"),
    (["a", "--preset", "papre"], "no preset 'papre': did you mean paper"),
    (["a", "--method", "atention"], "no method 'atention': did you mean attention"),
    (["a", "--device", "gpu"], "no device 'gpu'"),
    (["a", "--dtype", "float31"], "no dtype 'float31': did you mean float32"),
    (["a", "--nothing"], "--nothing"),
    ([], "give a PROMPT, or --prompts FILE"),
    (["a", "--prompts", "file"], "give a PROMPT or --prompts FILE, not both"),
    (["--prompts", "file", "--audio", "a.wav"], "--audio goes with one PROMPT"),
    (["a", "--audio", "a.wav", "--duration", "1"], "--duration and --guidance are for generating"),
])
def test_bad_input_is_one_line_and_exit_code_2(run, explainer, out, arguments, told):
    result = run("explain", *arguments, "--out", out)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert result.err.startswith("xattnmask: error: ")
    assert result.err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("arguments", [["--steps", "0"], ["--model", "tyo"], ["--out", __file__]])
def test_bad_input_is_found_before_a_plugin_is_imported(run, explainer, out, arguments):
    assert run("explain", "a dog", "--out", out, *arguments).code == 2
    assert "toy_plugin" not in sys.modules


def test_a_folder_that_cannot_be_written_is_found_before_the_work(run, explainer, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("explain", "a dog", "--out", tmp_path / "file" / "out")
    assert (result.code, explainer.calls) == (2, [])
    assert "cannot write in" in result.err


def test_an_error_while_explaining_leaves_no_folder(run, explainer, out):
    explainer.fault = NumericalError("the loss is NaN at step 3")
    result = run("explain", "a dog", "--out", out / "deep" / "down")
    assert (result.code, result.err) == (2, "xattnmask: error: the loss is NaN at step 3\n")
    assert not out.exists()


def test_ctrl_c_leaves_the_files_of_an_earlier_run_as_they_were(run, explainer, out):
    run("explain", "a dog", "--out", out)
    before = {name: (out / name).read_bytes() for name in FILES}
    explainer.fault = KeyboardInterrupt()
    result = run("explain", "another dog", "--out", out)
    assert (result.code, result.out, result.err) == (130, "", "xattnmask: interrupted\n")
    assert {name: (out / name).read_bytes() for name in os.listdir(out)} == before


def test_ctrl_c_while_writing_leaves_nothing_half_written(run, explainer, out, monkeypatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xattnmask.results.files._rename", stop)
    assert run("explain", "a dog", "--out", out).code == 130
    assert not out.exists()


def test_an_unexpected_error_is_one_line_that_says_how_to_see_more(run, explainer, out):
    explainer.fault = ZeroDivisionError("division\nby zero")
    result = run("explain", "a dog", "--out", out)
    assert result.code == 1
    assert result.err == "xattnmask: error: unexpected ZeroDivisionError: division by zero (--debug shows where)\n"


def test_debug_shows_where_it_came_from(run, explainer, out):
    explainer.fault = ZeroDivisionError("division by zero")
    result = run("explain", "a dog", "--out", out, "--debug")
    assert result.code == 1
    assert "Traceback" in result.err
    assert result.err.endswith("xattnmask: error: unexpected ZeroDivisionError: division by zero\n")


def test_a_broken_listener_is_a_warning_of_one_line(run, explainer, toy, out):
    toy.add("bad-dist", {"xattnmask.listeners": {"bad": "bad_plugin"}}, modules={"bad_plugin": "1 / 0"})
    result = run("explain", "a dog", "--out", out)
    assert result.code == 0
    assert result.err.startswith("xattnmask: warning: listener plugin 'bad' of bad-dist could not be loaded")
    assert result.err.count("\n") == 1


def test_a_missing_library_is_told_with_the_pip_line(run, explainer, toy, out):
    toy.add("needy", {"xattnmask.adapters": {"needy": "needy_plugin"}}, requires=["no-such-library>=2"],
            modules={"needy_plugin": "import no_such_library"})
    result = run("explain", "a dog", "--out", out, "--model", "needy", "--checkpoint", "some/model")
    assert result.code == 2
    assert 'pip install "no-such-library>=2"' in result.err
    assert not out.exists()
