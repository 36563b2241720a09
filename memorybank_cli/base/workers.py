"""A second process for work on many files: Python's lock makes threads useless for warm small files."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import orjson

Item = TypeVar("Item")
Result = TypeVar("Result")
WORTH_IT = 2_000
_NUMBER_SIZE = 4
# As many numbers fit into a pipe that nobody reads, on each system.
MOST_SHARED = 1024


def spread(items: Sequence[Item], work: Callable[[list[Item]], list[Result]], worth_it: int = WORTH_IT) -> list[Result]:
    """`work` over all items, in order; from `worth_it` items on, half of it in a forked child.

    Results of the child come back as JSON: lists, texts, numbers. A child that dies is replaced by doing its part here.
    """
    if len(items) < worth_it or not are_two():
        return work(list(items))
    middle = len(items) // 2
    child = Child(lambda: work(list(items[middle:])))
    first = work(list(items[:middle]))
    rest: list[Result] | None = child.result()
    return first + (work(list(items[middle:])) if rest is None else rest)


def pays(count: int) -> bool:
    """Whether so many items are worth a second process, and there is a processor for it."""
    return count >= WORTH_IT and are_two()


def are_two() -> bool:
    """Whether a second process has a processor of its own."""
    return _processors() > 1


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


class Shared(Generic[Item, Result]):
    """Work on items that a child begins at once, in which this process joins when it asks for the `results`.

    Whoever is free takes the next item, so that neither waits long for the other. A child that dies is replaced by
    doing its part here; `end` stops it early.
    """

    def __init__(self, items: Sequence[Item], work: Callable[[Item], Result]) -> None:
        self._items, self._work = items, work
        # The numbers of the items that nobody has begun; read whole, for they were written whole.
        self._left, writing = os.pipe()
        with open(writing, "wb") as file:
            file.write(b"".join(number.to_bytes(_NUMBER_SIZE, "big") for number in range(len(items[:MOST_SHARED]))))
        self._child = Child(self._take) if len(items) > 1 and are_two() else None

    def _take(self) -> list[tuple[int, Result]]:
        taken = []
        while number := os.read(self._left, _NUMBER_SIZE):
            place = int.from_bytes(number, "big")
            taken.append((place, self._work(self._items[place])))
        return taken

    def results(self) -> list[Result]:
        """What the work on each item came to, in their order; those of the child come back as JSON."""
        found: dict[int, Result] = dict(self._take())
        if self._child is not None:
            found.update(self._child.result() or ())
        return [found[place] if place in found else self._work(item) for place, item in enumerate(self._items)]

    def end(self) -> None:
        """Give back what it holds; after it there are no results."""
        os.close(self._left)
        if self._child is not None:
            self._child.end()
