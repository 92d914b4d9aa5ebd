"""What every training stage shares: a seeded loop that saves its state and resumes where it was stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

SAVE_EVERY = 50
Step = Callable[[int], Mapping[str, float]]


class Loop:
    """Runs a step function ``steps`` times; state goes to ``folder/state.pt``, numbers to ``folder/log.txt``."""

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        steps: int,
        lr: float,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.model, self.optimizer, self.steps, self.lr = folder, model, optimizer, steps, lr
        self.state = folder / "state.pt"
        self.start = self._resume()

    def run(self, step: Step) -> None:
        """Call ``step(i)`` for each step left; it does its own backward and update, and returns numbers to log."""
        began, sums, since = time.monotonic(), {}, 0
        for i in range(self.start, self.steps):
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr * schedule(i, self.steps)
            for name, value in step(i).items():
                sums[name] = sums.get(name, 0.0) + value
            since += 1
            if (i + 1) % SAVE_EVERY == 0 or i + 1 == self.steps:
                rate = (time.monotonic() - began) / (i + 1 - self.start)
                means = " ".join(f"{name} {value / since:.4f}" for name, value in sums.items())
                self._log(f"{i + 1}/{self.steps} {rate:.3f} s/step {means}")
                self._save(i + 1)
                sums, since = {}, 0

    def _log(self, line: str) -> None:
        print(f"{self.folder.name}: {line}", flush=True)
        with (self.folder / "log.txt").open("a") as log:
            log.write(line + "\n")

    def _save(self, done: int) -> None:
        state = {
            "done": done,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
        }
        partial = self.state.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.state)

    def _resume(self) -> int:
        if not self.state.exists():
            return 0
        state = torch.load(self.state, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        return int(state["done"])


def schedule(step: int, steps: int, warmup: int = 200) -> float:
    """Linear warm-up, then a cosine down to 3 %."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
