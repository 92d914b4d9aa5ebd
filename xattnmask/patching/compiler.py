"""Keeping torch.compile out of code that it would trace wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def never_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, never traced, nor what it calls: what ``torch.compiler.disable`` gives, without its wrapper.

    The wrapper takes a microsecond or two, and a mode is called for every torch function in a site: on a small model
    that is two per cent of a forward. Imports the compiler.
    """
    try:
        from torch._dynamo.eval_frame import set_code_exec_strategy  # type: ignore[attr-defined]
        from torch._dynamo.types import FrameAction, FrameExecStrategy  # type: ignore[attr-defined]
    except ImportError:  # torch 2.6, or one that has moved them
        return torch.compiler.disable(function)  # type: ignore[no-any-return, no-untyped-call]
    set_code_exec_strategy(function.__code__, FrameExecStrategy(FrameAction.SKIP, FrameAction.SKIP))
    function._torchdynamo_disable = True  # type: ignore[attr-defined]
    return function
