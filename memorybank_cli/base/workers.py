"""A second process for work on many files: Python's lock makes threads useless for warm small files."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

Item = TypeVar("Item")
Result = TypeVar("Result")
WORTH_IT = 2_000


def spread(items: Sequence[Item], work: Callable[[list[Item]], list[Result]], worth_it: int = WORTH_IT) -> list[Result]:
    """`work` over all items, in order; from `worth_it` items on, half of it in a forked child.

    Results of the child come back as JSON: lists, texts, numbers. A child that dies is replaced by doing its part here.
    """
    if len(items) < worth_it or _processors() < 2:
        return work(list(items))
    middle = len(items) // 2
    child = Child(lambda: work(list(items[middle:])))
    first = work(list(items[:middle]))
    rest: list[Result] | None = child.result()
    return first + (work(list(items[middle:])) if rest is None else rest)


def pays(count: int) -> bool:
    """Whether so many items are worth a second process, and there is a processor for it."""
    return count >= WORTH_IT and _processors() > 1


def _processors() -> int:
    """How many processors this process may use; `taskset` and containers leave it fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Child:
    """A forked process that does one thing beside us; its result comes back as JSON."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._pipe, writing = os.pipe()
        self._id = os.fork()
        if self._id:
            os.close(writing)
            return
        status = 1
        try:
            os.close(self._pipe)
            with open(writing, "wb") as file:
                file.write(orjson.dumps(work(), default=tuple))
            status = 0
        finally:
            os._exit(status)  # no clean-up of what belongs to the parent

    def result(self) -> Any:
        """What it found once it is done, None for one that died."""
        with open(self._pipe, "rb") as file:
            data = file.read()
        _, status = os.waitpid(self._id, 0)
        self._id = 0
        return None if status else orjson.loads(data)

    def end(self) -> None:
        """Stop one whose result is not wanted any more; after `result` this does nothing."""
        if self._id:
            os.kill(self._id, signal.SIGKILL)
            self.result()
