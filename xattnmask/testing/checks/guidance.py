"""Classifier-free guidance: the conditional rows alone are masked."""

from __future__ import annotations

import torch
from torch import Tensor

from ...patching import patch
from ..check import check, require
from ..measuring import EXACT, FirstCalls, readers, same, watching
from ..subject import Subject


@check("conditional_rows names the rows that hold the prompt, with guidance and without",
       "conditional_rows is asked at every attention call: keep a flag while generate runs with guidance.")
def conditional(subject: Subject) -> None:
    for guidance in (3.0, 1.0):
        here, there = (_first_calls(subject, prompt, guidance) for prompt in (None, subject.other_prompt()))
        for path, (result, rows) in here.items():
            other, _ = there.get(path, (None, None))
            require(other is not None and other.shape == result.shape, f"site {path} runs with one prompt and not with "
                    "another of the same length: name sites that always run")
            assert other is not None
            _compare(path, guidance, _moved(result, other), list(range(result.shape[0])[rows]))
    _null_rows_stay(subject)
    before = subject.model.conditional_rows(6)
    require(range(6)[before] == range(6), f"after generate, conditional_rows(6) is {before} and not all rows: end the "
            "guidance in a `finally`")


def _first_calls(subject: Subject, prompt: str | None, guidance: float) -> dict[str, tuple[Tensor, slice]]:
    """What the first call of each reading site gives, when nothing but the prompt has come in yet."""
    seen = FirstCalls()
    prompt = subject.fitted_prompt() if prompt is None else prompt
    with watching(subject.model, readers(subject.model, len(subject.model.tokenize(prompt))), seen):
        subject.generate(prompt, guidance=guidance)
    return seen.found


def _moved(result: Tensor, other: Tensor) -> list[int]:
    """The rows that differ."""
    off = (result - other).abs().flatten(1).amax(1).float()
    return torch.nonzero(off > EXACT * other.abs().max()).flatten().tolist()


def _compare(path: str, guidance: float, moved: list[int], rows: list[int]) -> None:
    where = f"at the first call of site {path}, guidance {guidance:g},"
    left_out, void = sorted(set(moved) - set(rows)), sorted(set(rows) - set(moved))
    if left_out and void:
        require(False, f"{where} another prompt changes rows {moved} and conditional_rows gives {rows}: the halves are "
                "swapped; name the half that holds the prompt")
    require(not left_out, f"{where} another prompt changes rows {moved} and conditional_rows gives {rows}, so that "
            "words would stay in: name all rows that hold the prompt")
    require(not void, f"{where} rows {void} are conditional by conditional_rows and do not depend on the prompt: leave "
            "the unconditional half out while guidance runs (and if the weights are random, make them larger)")


def _null_rows_stay(subject: Subject) -> None:
    """A mask leaves the unconditional rows as they were, at the first call of each site."""
    clean, tokens = _first_calls(subject, None, 3.0), len(subject.generation().tokens)
    seen = FirstCalls()
    zeros = torch.zeros(1, tokens)
    with patch(subject.model, zeros), watching(subject.model, readers(subject.model, tokens), seen):
        subject.generate(guidance=3.0)
    for path, (result, rows) in seen.found.items():
        null = [row for row in range(result.shape[0]) if row not in range(result.shape[0])[rows]]
        require(same(result[null], clean[path][0][null]), f"site {path}: a mask changes the unconditional rows {null}")
