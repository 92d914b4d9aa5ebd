"""Running the checks, and what they came to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import SettingError
from .check import Check, Outcome
from .checks import CHECKS
from .subject import Subject


@dataclass(frozen=True)
class Report:
    """The outcomes of the checks, in their order."""

    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(outcome.status != "failed" for outcome in self.outcomes)

    def count(self, status: str) -> int:
        """How many checks have a status."""
        return sum(outcome.status == status for outcome in self.outcomes)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: ``passed`` and ``checks``, each with ``name``, ``status``, ``message`` and ``seconds``."""
        return {"passed": self.passed, "checks": [asdict(outcome) for outcome in self.outcomes]}

    def __str__(self) -> str:
        return "\n".join(
            f"{outcome.status:7} {outcome.name}" + (f": {outcome.message}" if outcome.message else "")
            for outcome in self.outcomes
        )


def run_checks(
    subject: Subject, only: Sequence[str] | None = None, on_outcome: Callable[[Outcome], None] = lambda outcome: None
) -> Report:
    """Run all checks, or those named, on an adapter.

    Args:
        subject: the adapter, and how it is loaded.
        only: names of checks; all by default.
        on_outcome: called after each.

    Raises:
        SettingError: there is no check of a name.
        XattnmaskError: the model could not be loaded.
    """
    subject.model  # noqa: B018 -- what cannot be loaded cannot be checked: its own error says more
    outcomes = []
    for check in chosen(only):
        outcomes.append(check(subject))
        on_outcome(outcomes[-1])
    return Report(tuple(outcomes))


def chosen(only: Sequence[str] | None) -> list[Check]:
    """The checks of these names, in the order of all; SettingError for a name that none has."""
    if unknown := sorted(set(only or ()) - {check.name for check in CHECKS}):
        raise SettingError(f"no check named {', '.join(unknown)}: there are {', '.join(map(str, CHECKS))}")
    return [check for check in CHECKS if only is None or check.name in only]
