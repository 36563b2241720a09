"""A second process for work on many files: Python's lock makes threads useless for warm small files."""

from __future__ import annotations

import fcntl
import marshal
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, Generic, TypeVar

import orjson

Item = TypeVar("Item")
Result = TypeVar("Result")
WORTH_IT = 2_000
_NUMBER_SIZE = 4
# As many numbers fit into a pipe that nobody reads, on each system.
MOST_SHARED = 1024
_PIPE_SIZE = 1 << 20  # what Linux grants to everybody


def spread(items: Sequence[Item], work: Callable[[list[Item]], list[Result]], worth_it: int = WORTH_IT) -> list[Result]:
    """`work` over all items, in order; from `worth_it` items on, half of it in a forked child.

    Results of the child come back as JSON: lists, texts, numbers. A child that dies is replaced by doing its part here.
    """
    if len(items) < worth_it or not are_two():
        return work(list(items))
    middle = len(items) // 2
    child = Child(lambda: work(list(items[middle:])))
    try:
        first = work(list(items[:middle]))
        rest: list[Result] | None = child.result()
    finally:
        child.end()
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
        self._fork(lambda file: file.write(_json(work())))

    def _fork(self, write: Callable[[BinaryIO], object]) -> None:
        self._pipe, writing = os.pipe()
        self._id = os.fork()
        if self._id:
            os.close(writing)
            return
        status = 1
        try:
            os.close(self._pipe)
            with open(writing, "wb") as file:
                write(file)
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
            os.close(self._pipe)
            os.waitpid(self._id, 0)
            self._id = 0


def _json(found: Any) -> bytes:
    return orjson.dumps(found, default=tuple)


class _Numbers:
    """Numbers from 0 up that parent and child take in turn, each of them once; read whole, for they are written so."""

    def __init__(self, count: int) -> None:
        self._left, writing = os.pipe()
        with open(writing, "wb") as file:
            file.write(b"".join(number.to_bytes(_NUMBER_SIZE, "big") for number in range(min(count, MOST_SHARED))))

    def take(self) -> int | None:
        """The next one that nobody has taken, None at the end."""
        number = os.read(self._left, _NUMBER_SIZE)
        return int.from_bytes(number, "big") if number else None

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._left)


class Ahead(Child):
    """Work on items that are wanted one after the other: a child does some of them before their turn has come.

    Whoever is free takes the next item, so that neither waits long for the other. There are `MOST_SHARED` at most.
    Results are tuples, lists, texts and numbers: JSON takes three times as long to read as what `marshal` writes.
    """

    def __init__(self, count: int, work: Callable[[int], Any]) -> None:
        self._numbers = _Numbers(count)
        self._ours: float = -1
        """The item that we have to do, or have done; all between those are the child's."""

        def write(file: BinaryIO) -> None:
            while (number := self._numbers.take()) is not None:
                data = marshal.dumps((number, work(number)))
                file.write(len(data).to_bytes(_NUMBER_SIZE, "big") + data)
                file.flush()

        self._fork(write)
        with suppress(AttributeError, OSError):  # it can still be too far ahead, and waits then
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        self._found = open(self._pipe, "rb", closefd=False)  # noqa: SIM115 - closed by `end`

    def take(self, number: int) -> Any:
        """What the child found for an item, None where that is to be done here; numbers ascend from call to call."""
        while self._ours < number:
            found = self._numbers.take()
            self._ours = float("inf") if found is None else found
        if self._ours == number:
            return None
        while size := int.from_bytes(self._found.read(_NUMBER_SIZE), "big"):
            data = self._found.read(size)
            if len(data) < size:
                break  # it died
            done, result = marshal.loads(data)  # noqa: S302 - from our own child
            if done == number:
                return result
        return None

    def end(self) -> None:
        """Stop it."""
        self._found.close()
        super().end()
        self._numbers.close()


class Shared(Generic[Item, Result]):
    """Work on items that a child begins at once, in which this process joins when it asks for the `results`.

    Whoever is free takes the next item, so that neither waits long for the other. A child that dies is replaced by
    doing its part here; `end` stops it early.
    """

    def __init__(self, items: Sequence[Item], work: Callable[[Item], Result]) -> None:
        self._items, self._work = items, work
        self._numbers = _Numbers(len(items))
        self._child = Child(self._take) if len(items) > 1 and are_two() else None

    def _take(self) -> list[tuple[int, Result]]:
        taken = []
        while (place := self._numbers.take()) is not None:
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
        self._numbers.close()
        if self._child is not None:
            self._child.end()
