"""A second process for work on many files: Python's lock makes threads useless for warm small files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

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
    child, pipe = _start(lambda: work(list(items[middle:])))
    first = work(list(items[:middle]))
    rest: list[Result] | None = _collect(child, pipe)
    return first + (work(list(items[middle:])) if rest is None else rest)


def _processors() -> int:
    """How many processors this process may use; `taskset` and containers leave it fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(work: Callable[[], list[Result]]) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        with open(writing, "wb") as file:
            file.write(orjson.dumps(work(), default=tuple))
        status = 0
    finally:
        os._exit(status)  # no clean-up of what belongs to the parent


def _collect(child: int, pipe: int) -> list[Result] | None:
    with open(pipe, "rb") as file:
        data = file.read()
    _, status = os.waitpid(child, 0)
    if status:
        return None
    found: list[Result] = orjson.loads(data)
    return found
