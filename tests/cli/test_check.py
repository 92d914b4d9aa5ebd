"""``xattnmask check``: a table or JSON, and exit codes."""

from __future__ import annotations

import json

import pytest


def test_one_check_of_a_model(run, toy):
    result = run("check", "toy", "--checkpoint", "toy-small", "--only", "contract", "--only", "tokens")
    assert result.code == 0 and "2 passed" in result.out
    assert [line.split()[:2] for line in result.out.splitlines()[1:3]] == [["contract", "passed"], ["tokens", "passed"]]


def test_a_named_checkpoint_and_json(run, toy):
    result = run("check", "toy-small", "--only", "seed", "--duration", "0.4", "--prompt", "a bell rings", "--json")
    data = json.loads(result.out)
    assert result.code == 0 and data["passed"] is True
    (check,) = data["checks"]
    assert (check["name"], check["status"], check["message"]) == ("seed", "passed", "")


def test_a_failure_is_exit_code_1_and_says_what_to_change(run, toy, monkeypatch):
    source = (toy.site / "toy_plugin.py").read_text()
    (toy.site / "toy_plugin.py").write_text(source.replace(".backbone = Backbone().eval()", ".backbone = Backbone()"))
    result = run("check", "toy-small", "--only", "contract")
    assert result.code == 1 and "failed" in result.out
    assert "call backbone.eval() in from_checkpoint" in " ".join(result.out.split())


@pytest.mark.parametrize(("arguments", "told"), [
    (["nothing"], "no model"), (["toy"], "needs a checkpoint"), (["toy-small", "--only", "nothing"], "no check named"),
    (["toy-small", "--set", "steps"], "--set takes NAME=VALUE"),
    (["toy-small", "--set", "steps=3", "--only", "seed"], None),
])
def test_what_cannot_be_checked_is_exit_code_2(run, toy, arguments, told):
    result = run("check", *arguments)
    if told is None:  # a setting that the toy does not have: the check itself says so
        assert result.code == 1 and "the toy has no setting steps" in " ".join(result.out.split())
        return
    assert result.code == 2 and told in result.err and result.err.count("\n") == 1
