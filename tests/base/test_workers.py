from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import workers

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def squares(items: list[int]) -> list[tuple[int, int]]:
    return [(item, item * item) for item in items]


def with_process(items: list[int]) -> list[list[int]]:
    return [[item, os.getpid()] for item in items]


@pytest.mark.usefixtures("processors")
@pytest.mark.parametrize("count", [0, 1, 2, 3, 101])
def test_results_come_in_order(count: int) -> None:
    found = workers.spread(range(count), squares, worth_it=2)
    assert [tuple(one) for one in found] == squares(list(range(count)))


@pytest.mark.usefixtures("processors")
def test_half_of_much_work_is_done_by_a_child() -> None:
    found = workers.spread(range(10), with_process, worth_it=10)
    assert [item for item, _ in found] == list(range(10))
    assert {process for _, process in found[:5]} == {os.getpid()}
    assert os.getpid() not in {process for _, process in found[5:]}
    assert {process for _, process in workers.spread(range(9), with_process, worth_it=10)} == {os.getpid()}


def test_one_processor_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert {process for _, process in workers.spread(range(10), with_process, worth_it=1)} == {os.getpid()}
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert workers._processors() == 1


@pytest.mark.usefixtures("processors")
def test_a_child_that_dies_is_replaced() -> None:
    parent = os.getpid()

    def work(items: list[int]) -> list[int]:
        if os.getpid() != parent:
            raise MemoryError
        return items

    assert workers.spread(range(10), work, worth_it=2) == list(range(10))


@pytest.mark.usefixtures("processors")
def test_results_larger_than_a_pipe() -> None:
    found = workers.spread(range(40), lambda items: ["x" * 10_000 for _ in items], worth_it=2)
    assert len(found) == 40
    assert set(found) == {"x" * 10_000}


@pytest.mark.usefixtures("processors")
def test_a_failure_here_is_raised() -> None:
    parent = os.getpid()

    def work(items: list[int]) -> list[int]:
        if os.getpid() == parent:
            raise ZeroDivisionError
        return items

    with pytest.raises(ZeroDivisionError):
        workers.spread(range(10), work, worth_it=2)


def test_a_child_gives_its_result_once_and_is_gone() -> None:
    child = workers.Child(lambda: {"found": [1, (2, 3)]})
    number = child._id
    assert child.result() == {"found": [1, [2, 3]]}
    child.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(number, os.WNOHANG)


def test_a_child_that_is_not_wanted_any_more_is_stopped() -> None:
    child = workers.Child(lambda: time.sleep(60))
    number = child._id
    child.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(number, os.WNOHANG)


@pytest.mark.usefixtures("processors")
def test_much_work_pays() -> None:
    assert workers.pays(workers.WORTH_IT)
    assert not workers.pays(workers.WORTH_IT - 1)


def shared(items: list[int], work: Callable[[int], Any]) -> list[Any]:
    run = workers.Shared(items, work)
    try:
        return run.results()
    finally:
        run.end()


@pytest.mark.usefixtures("processors")
@pytest.mark.parametrize("count", [0, 1, 2, 101, workers.MOST_SHARED + 3])
def test_each_shared_item_is_done_once_and_results_come_in_order(count: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()

    def work(item: int) -> int:
        with log.open("ab", buffering=0) as file:
            file.write(b"%d\n" % item)
        return item * item

    assert shared(list(range(count)), work) == [item * item for item in range(count)]
    assert sorted(map(int, log.read_bytes().split())) == list(range(count))


@pytest.mark.usefixtures("processors")
def test_the_child_begins_before_results_are_wanted_and_who_is_free_takes_the_next(tmp_path: Path) -> None:
    parent, begun = os.getpid(), tmp_path / "begun"

    def work(item: int) -> int:
        if os.getpid() != parent:
            begun.touch()
            while not (tmp_path / "go").exists():
                time.sleep(0.001)
        elif item == 4:
            (tmp_path / "go").touch()
        return os.getpid()

    run = workers.Shared(list(range(5)), work)
    while not begun.exists():
        time.sleep(0.001)
    found = run.results()
    run.end()
    assert found[0] != parent
    assert found[1:] == [parent] * 4  # the child was held up at its first


@pytest.mark.usefixtures("processors")
def test_what_a_dead_child_had_taken_is_done_here() -> None:
    parent = os.getpid()

    def work(item: int) -> int:
        if os.getpid() != parent:
            raise MemoryError
        return item

    assert shared(list(range(10)), work) == list(range(10))


@pytest.mark.usefixtures("processors")
def test_shared_work_that_is_not_wanted_any_more_ends() -> None:
    run = workers.Shared([1, 2], lambda _: time.sleep(60))
    assert run._child is not None
    number = run._child._id
    run.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(number, os.WNOHANG)


def test_one_processor_shares_with_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert shared([1, 2, 3], lambda _: os.getpid()) == [os.getpid()] * 3


def ahead(place: Path, count: int, work: Callable[[int], Any], wanted: list[int]) -> list[Any]:
    """What a child had for the items that are wanted; it has begun before the first is asked for."""

    def logged(number: int) -> Any:
        with (place / "done").open("ab", buffering=0) as file:
            file.write(b"%d\n" % number)
        return work(number)

    run = workers.Ahead(count, logged)
    while not (place / "done").exists():
        time.sleep(0.001)
    try:
        return [run.take(number) for number in wanted]
    finally:
        run.end()


def test_each_item_is_done_once_here_or_ahead(tmp_path: Path) -> None:
    found = ahead(tmp_path, 200, lambda number: (number, "x" * 10_000, os.getpid()), list(range(200)))
    done = [one for one in found if one is not None]
    assert done
    assert [one[0] for one in done] == [number for number, one in enumerate(found) if one is not None]
    assert {len(one[1]) for one in done} == {10_000}
    assert os.getpid() not in {one[2] for one in done}
    assert (tmp_path / "done").read_bytes().split() == [b"%d" % one[0] for one in done]


def test_what_is_not_wanted_is_passed_over(tmp_path: Path) -> None:
    wanted = list(range(0, 90, 7))
    found = ahead(tmp_path, 90, lambda number: number, wanted)
    assert found[0] == 0
    assert all(one in (None, number) for number, one in zip(wanted, found, strict=True))


@pytest.mark.parametrize("last", [0, 3])
def test_what_a_child_that_died_left_is_done_here(last: int, tmp_path: Path) -> None:
    def work(number: int) -> int:
        if number >= last:
            (tmp_path / "died").touch()
            raise MemoryError
        return number

    run = workers.Ahead(20, work)
    while not (tmp_path / "died").exists():
        time.sleep(0.001)
    found = [run.take(number) for number in range(20)]
    run.end()
    assert found == [*range(last), *[None] * (20 - last)]


def test_work_ahead_that_is_not_wanted_any_more_ends() -> None:
    run = workers.Ahead(3, lambda _: time.sleep(60))
    number = run._id
    run.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(number, os.WNOHANG)
