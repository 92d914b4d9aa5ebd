"""Several processes that share the prompts: those that ``accelerate launch`` or ``torchrun`` has started."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

from ..optional import need

T = TypeVar("T")


class Alone:
    """One process, which does everything."""

    main, count, local = True, 1, 0

    def same(self, value: T) -> T:
        """The main process's ``value``, in all processes."""
        return value

    def mine(self, items: Sequence[T]) -> list[T]:
        """The part of ``items`` that this process does."""
        return list(items)

    def gathered(self, items: list[T]) -> list[T]:
        """The items of all processes, in all of them."""
        return items


class Together(Alone):
    """One of several processes, through accelerate."""

    def __init__(self, device: str) -> None:
        accelerate = need("accelerate", "evaluate")
        self._utils = need("accelerate.utils", "evaluate")
        self._state = accelerate.PartialState(cpu=device.partition(":")[0] == "cpu")
        self.main, self.count = bool(self._state.is_main_process), int(self._state.num_processes)
        self.local = int(self._state.local_process_index)

    def same(self, value: T) -> T:
        found: T = self._utils.broadcast_object_list([value])[0]
        return found

    def mine(self, items: Sequence[T]) -> list[T]:
        """Every so many-th, so that none is left with the long prompts at the end of a file."""
        return list(items[self._state.process_index :: self.count])

    def gathered(self, items: list[T]) -> list[T]:
        found: list[T] = self._utils.gather_object(items)
        return found


def processes(device: str = "cpu") -> Alone:
    """The processes that share the work; ``device`` is where the models run. accelerate is imported where needed."""
    return Together(device) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Alone()


def own_device(device: str, share: Alone) -> str:
    """The device of this process, when each machine's processes have one each: ``cuda`` becomes ``cuda:0``, ..."""
    several = share.count > 1 and ":" not in device and device != "cpu"
    return f"{device}:{share.local}" if several else device
