"""What a check is, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import XattnmaskError

if TYPE_CHECKING:
    from .subject import Subject

Status = Literal["passed", "failed", "warned", "skipped"]


class CheckError(Exception):
    """Base class of what ends a check before its end; the message goes into its outcome."""


class Broken(CheckError):
    """The adapter breaks the contract; the message says what is wrong and what to change."""


class Doubtful(CheckError):
    """Something that some models cannot help, and that users have to know."""


class NotApplicable(CheckError):
    """The check is not for this kind of model, or not for this machine; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes:
        name: of the check.
        status: ``passed``, ``failed``, ``warned`` (some models cannot help it) or ``skipped`` (does not apply).
        message: why, and what to change in the adapter; empty if it passed.
        seconds: how long it took.
    """

    name: str
    status: Status
    message: str
    seconds: float


@dataclass(frozen=True)
class Check:
    """One thing that the core relies on.

    Attributes:
        name: short, as ``xattnmask check --only`` takes it.
        claim: what has to hold, in one sentence.
        advice: where to look in the adapter if the check ends in an error that is none of its own.
    """

    name: str
    claim: str
    advice: str
    function: Callable[[Subject], None]

    def __call__(self, subject: Subject) -> Outcome:
        """Run the check; whatever the adapter raises becomes its outcome, but for KeyboardInterrupt and the like."""
        start = time.perf_counter()
        status, message = self._run(subject)
        return Outcome(self.name, status, message, time.perf_counter() - start)

    def __str__(self) -> str:
        return self.name

    def _run(self, subject: Subject) -> tuple[Status, str]:
        try:
            self.function(subject)
        except Broken as error:
            return "failed", str(error)
        except Doubtful as error:
            return "warned", str(error)
        except NotApplicable as error:
            return "skipped", str(error)
        except XattnmaskError as error:
            return "failed", f"{type(error).__name__}: {error}. {self.advice}"
        except Exception as error:
            return "failed", f"unexpected {type(error).__name__}: {' '.join(str(error).split())}. {self.advice}"
        return "passed", ""


CHECKS: list[Check] = []
"""All checks, in the order in which they are run: the first failure is most often the cause of the others."""


def check(claim: str, advice: str) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Register a function as a check; its name, with hyphens, is the check's."""

    def add(function: Callable[[Subject], None]) -> Callable[[Subject], None]:
        CHECKS.append(Check(function.__name__.replace("_", "-"), claim, advice, function))
        return function

    return add


def require(holds: bool, message: str) -> None:
    """Raise :class:`Broken` unless something holds."""
    if not holds:
        raise Broken(message)
