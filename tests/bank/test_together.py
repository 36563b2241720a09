"""Threads that write together: one hold of the lock and one sync for all who wait, and to each its own answer."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.together import Begin, Together, _Call
from memorybank_cli.bank.writing import Appended
from memorybank_cli.base import files
from memorybank_cli.base.errors import Locked, OperationFailed, UsageError
from tests.broken_os import broken, failing
from tests.conftest import MakeBank
from tests.operations.banks import opened

PATIENCE = 20.0


@pytest.fixture
def bank(make_bank: MakeBank) -> Iterator[Bank]:
    with opened(make_bank(1)) as one:
        yield one


class Gate:
    """Holds up the first who leads until the others have come."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self.arrived, self.goes_on = bank, threading.Event(), threading.Event()
        self._together = bank.together

    def first(self) -> tuple[str, None]:
        self.arrived.set()
        assert self.goes_on.wait(PATIENCE)
        return "first", None

    def after(self, count: int, pool: ThreadPoolExecutor, begin: Callable[[int], Begin[str]]) -> list[Future[str]]:
        """`count` threads that come while another leads, in order."""
        first = pool.submit(self._together.run, self.first)
        assert self.arrived.wait(PATIENCE)
        rest = []
        for number in range(count):
            rest.append(pool.submit(self._together.run, begin(number)))
            while len(self._together._waiting) <= number:
                threading.Event().wait(0.001)
        self.goes_on.set()
        assert first.result(PATIENCE) == "first"
        return rest


@pytest.fixture
def gate(bank: Bank) -> Gate:
    return Gate(bank)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as made:
        yield made


def storing(bank: Bank, name: str) -> Begin[str]:
    """Appends one line and gives its name."""

    def begin() -> tuple[str, Appended | None]:
        _, what = bank.begin([Entry("finding.opened", {"record": name})])
        return name, what

    return begin


def names(bank: Bank) -> list[str]:
    return [str(line.core["record"]) for line in bank.journal.lines(ops={b"finding.opened"})]


def test_one_alone(bank: Bank) -> None:
    assert bank.together.run(storing(bank, "a")) == "a"
    assert names(bank) == ["a"]


def test_who_waits_is_taken_along(
    bank: Bank, gate: Gate, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs, holds, real = list[int](), bank.holding, files.sync_data

    def sync_data(fd: int) -> None:
        syncs.append(fd)
        real(fd)

    monkeypatch.setattr(files, "sync_data", sync_data)
    rest = gate.after(8, pool, lambda number: storing(bank, f"n{number}"))
    assert [one.result(PATIENCE) for one in rest] == [f"n{number}" for number in range(8)]
    assert names(bank) == [f"n{number}" for number in range(8)]
    assert bank.holding - holds == 2
    assert len(syncs) == 1


def test_an_error_is_for_the_one_whose_it_is(bank: Bank, gate: Gate, pool: ThreadPoolExecutor) -> None:
    def wrong() -> tuple[str, None]:
        raise UsageError("no")

    rest = gate.after(3, pool, lambda number: wrong if number == 1 else storing(bank, f"n{number}"))
    assert rest[0].result(PATIENCE) == "n0"
    with pytest.raises(UsageError, match="no"):
        rest[1].result(PATIENCE)
    assert rest[2].result(PATIENCE) == "n2"
    assert names(bank) == ["n0", "n2"]


def test_what_nothing_is_appended_for_waits_for_no_disk(bank: Bank) -> None:
    with broken(fdatasync=failing(errno.EIO)):
        assert bank.together.run(lambda: ("twice", None)) == "twice"


def test_a_disk_that_fails_is_told_to_each(bank: Bank, gate: Gate, pool: ThreadPoolExecutor) -> None:
    with broken(fdatasync=failing(errno.EIO)):
        rest = gate.after(4, pool, lambda number: storing(bank, f"n{number}"))
        errors = [one.exception(PATIENCE) for one in rest]
    assert all(isinstance(one, OSError) and one.errno == errno.EIO for one in errors)
    assert bank.together.run(storing(bank, "later")) == "later"
    assert names(bank) == ["later"]


def test_a_lock_that_is_not_to_be_had_is_told_to_each_at_once(
    bank: Bank, gate: Gate, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = list[float | None]()

    def locked(timeout: float | None = None) -> None:
        tries.append(timeout)
        raise Locked("another process holds it")

    def begin(number: int) -> Begin[str]:
        if number == 3:
            monkeypatch.setattr(bank, "appending", locked)
        return storing(bank, f"n{number}")

    rest = gate.after(4, pool, begin)
    assert all(isinstance(one.exception(PATIENCE), Locked) for one in rest)
    assert len(tries) == 1


class TestInterrupted:
    """Ctrl-C reaches the main thread wherever it is."""

    def test_who_leads(self, bank: Bank, gate: Gate, pool: ThreadPoolExecutor) -> None:
        def interrupted() -> tuple[str, None]:
            raise KeyboardInterrupt

        rest = gate.after(3, pool, lambda number: interrupted if number == 0 else storing(bank, f"n{number}"))
        with pytest.raises(KeyboardInterrupt):
            rest[0].result(PATIENCE)
        for one in rest[1:]:
            with pytest.raises(OperationFailed, match="interrupted"):
                one.result(PATIENCE)
        assert bank.together.run(storing(bank, "later")) == "later"
        assert names(bank) == ["later"]

    def test_who_waits(self, bank: Bank, gate: Gate, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
        real = threading.Event.wait

        def wait(self: threading.Event, timeout: float | None = None) -> bool:
            if timeout is None and any(call.turn is self for call in bank.together._waiting[:1]):
                raise KeyboardInterrupt
            return real(self, timeout)

        monkeypatch.setattr(threading.Event, "wait", wait)
        first = pool.submit(bank.together.run, gate.first)
        assert gate.arrived.wait(PATIENCE)
        with pytest.raises(KeyboardInterrupt):
            bank.together.run(storing(bank, "never"))
        monkeypatch.undo()
        gate.goes_on.set()
        assert first.result(PATIENCE) == "first"
        assert bank.together.run(storing(bank, "later")) == "later"
        assert names(bank) == ["later"]

    def test_who_was_to_lead_next(self, bank: Bank) -> None:
        together = Together(bank)
        together._is_led = True
        done = list[str]()
        threads = []
        for name in ("first", "second"):
            thread = threading.Thread(target=lambda name=name: done.append(together.run(storing(bank, name))))
            threads.append(thread)
        gone = _waits(together, storing(bank, "gone"))
        for thread in threads:
            thread.start()
        while len(together._waiting) < 3:
            threading.Event().wait(0.001)
        with together._guard:
            together._hand_over()
        together._leave(gone)
        for thread in threads:
            thread.join(PATIENCE)
        assert sorted(done) == ["first", "second"]
        assert names(bank) == ["first", "second"] or names(bank) == ["second", "first"]


def _waits(together: Together, begin: Begin[str]) -> _Call[str]:
    """A call that waits, as its thread would find it."""
    call = _Call(begin)
    together._join(call)
    return call


def test_many_threads_lose_nothing(bank: Bank, pool: ThreadPoolExecutor) -> None:
    def write(thread: int) -> list[str]:
        return [bank.together.run(storing(bank, f"{thread}-{number}")) for number in range(50)]

    given = [name for some in pool.map(write, range(16)) for name in some]
    assert sorted(names(bank)) == sorted(given)
    for thread in range(16):
        own = [name for name in names(bank) if name.startswith(f"{thread}-")]
        assert own == [f"{thread}-{number}" for number in range(50)]
