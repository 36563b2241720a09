"""The journal and the catalog in step: appending waits for the disk only, who reads the catalog finds it right."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memorybank_cli.bank import appending, layout, marking
from memorybank_cli.bank import journal as journal_module
from memorybank_cli.bank import ledger as ledger_module
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.catalog import Catalog
from memorybank_cli.bank.chain import START, Reading
from memorybank_cli.bank.following import Told
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.syncing import Unsynced
from memorybank_cli.base import clock, files, locks
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import Locked
from memorybank_cli.base.exact_json import dumps
from tests.broken_os import broken, failing

DOCUMENT = {"format": 1, "bank_id": "b", "created_at": "2026-11-20T14:00:00.000000Z", "identity_key": "0" * 64}


class Hearing:
    """An applier that remembers what it was told."""

    ops = frozenset({"x"})

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.losses = 0

    def admit(self, bank: Bank, entries: list[Entry]) -> list[Entry]:
        return entries

    def render(self, bank: Bank, account: str, upto: int) -> list[dict[str, object]]:
        return []

    def is_rendering(self, bank: Bank, path: str, data: bytes) -> bool:
        return False

    def heard(self, bank: Bank, told: list[Told]) -> None:
        self.told += told

    def lost(self) -> None:
        self.losses += 1


Make = Callable[..., Bank]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    path = tmp_path / "bank"
    (path / layout.PRIVATE).mkdir(parents=True, mode=0o700)
    (path / "bank.json").write_bytes(dumps(DOCUMENT))
    opened: list[Bank] = []

    def call(lock_timeout: float = 5.0, hearing: Hearing | None = None) -> Bank:
        bank = Bank(str(path), Context(lock_timeout=lock_timeout), [hearing] if hearing else [])
        bank.refresh()
        opened.append(bank)
        return bank

    yield call
    for bank in opened:
        bank.abandon()


def say(bank: Bank, *names: str) -> None:
    for name in names:
        bank.commit([Entry(name, {})])


def ops(bank: Bank) -> list[str]:
    return [line.op for line in bank.journal.lines() if line.op != "checkpoint"]


def whole(bank: Bank) -> bool:
    *_, found = bank.journal.read(START, bank.home.mark())
    return isinstance(found, Reading) and not found.breaks and found.tail is None


def adopted(path: str) -> Entry:
    return Entry("file.adopted", {"files": [[path, "f" * 64, 1, 384, [], "", None]]})


def test_the_catalog_waits_until_somebody_reads_it(make: Make) -> None:
    one, other = make(), make()
    one.commit([adopted("a")])
    at = other._catalog.position()
    assert at.seq < one.end.seq
    assert [path for path, _ in one.catalog.all_expected()] == ["a"]
    assert other._catalog.position() == one.end
    one.commit([adopted("b")])
    say(other, "x")
    one.commit([adopted("c")])
    other.refresh()
    assert [path for path, _ in other.catalog.all_expected()] == ["a", "b", "c"]
    assert [path for path, _ in one.catalog.all_expected()] == ["a", "b", "c"]


def test_the_catalog_never_goes_back(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds the lock goes on from where it says the journal is, and would write over what is there."""
    one, other = make(), make()
    say(one, "x")
    seen, tell = one.end, one._catalog.writing

    @contextmanager
    def after_the_other() -> Iterator[None]:
        say(other, "y")
        other.refresh()
        with tell():
            yield
            assert one._catalog.position().seq > seen.seq

    with monkeypatch.context() as patch:
        patch.setattr(one._catalog, "writing", after_the_other)
        assert not one._tell_catalog()
    one.refresh()
    assert one.end == other.end
    say(one, "z")
    assert ops(other) == ["x", "y", "z"]


def test_the_catalog_does_not_wait_for_ever(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "UNTOLD_LINES", 3)
    bank = make()
    say(bank, *"abcd")
    assert bank._catalog.position().seq >= 3
    assert bank.end.seq - bank._catalog.position().seq < 3


def test_a_catalog_that_breaks_while_it_waits_is_made_again(make: Make) -> None:
    bank = make()
    bank.commit([adopted("a")])
    bank._catalog.db.execute("DROP TABLE files")
    assert [path for path, _ in bank.catalog.all_expected()] == ["a"]


def test_lines_are_heard_whoever_writes_them(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "CHECKPOINT_SECONDS", 10**12)
    hearing = Hearing()
    one, other = make(hearing=hearing), make()
    say(one, "a", "b")
    say(other, "c", "d")
    say(one, "e")
    assert [told.op for told in hearing.told if told.op != "checkpoint"] == list("abcde")
    assert [told.seq for told in hearing.told] == list(range(1, one.end.seq + 1))
    assert hearing.losses == 0
    say(other, "f")
    one.refresh()
    assert hearing.losses == 1
    say(one, "g")
    assert hearing.told[-1].op == "g"
    assert whole(one)


def test_segments_that_others_began_are_followed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 3)
    monkeypatch.setattr(appending, "CHECKPOINT_SECONDS", 10**12)
    hearing = Hearing()
    one, other = make(hearing=hearing), make()
    say(one, "a")
    say(other, *"bcdefgh")
    say(one, "i")
    assert ops(one) == list("abcdefghi")
    assert [told.op for told in hearing.told if told.op != "checkpoint"] == list("abcdefghi")
    assert len(one.journal.segments()) > 2
    assert whole(one)


def test_a_removed_lock_is_not_believed_to_be_held(make: Make, tmp_path: Path) -> None:
    one, other = make(), make(lock_timeout=0.0)
    say(one, "a")
    with one.locked():
        (tmp_path / "bank" / layout.LOCK).unlink()
    with locks.hold(one.root, layout.LOCK), pytest.raises(Locked):
        say(other, "b")
    say(one, "c")
    assert ops(one) == ["a", "c"]


def test_a_stopped_renderer_keeps_nobody_from_appending(make: Make) -> None:
    bank = make(lock_timeout=0.0)
    with locks.hold(bank.root, layout.RENDER_LOCK):
        say(bank, "a")
        with pytest.raises(Locked, match=r"render\.lock"), bank.locked():
            pass
        with pytest.raises(Locked, match=r"render\.lock"), bank.rendering():
            pass
    with bank.rendering(), locks.hold(bank.root, layout.LOCK):
        pass
    with bank.locked(), bank.rendering(), bank.appending():
        say(bank, "b")


# What the disk does not take


def test_everybody_who_waited_for_a_failed_sync_is_told(make: Make) -> None:
    one, other, hearing = make(), make(), Hearing()
    say(one, "a")
    listening = make(hearing=hearing)
    _, first = one.begin([Entry("b", {})])
    _, second = other.begin([Entry("c", {})])
    assert first is not None
    assert second is not None
    with broken(fdatasync=failing(errno.EIO)), pytest.raises(OSError, match="Errno"):
        one.durable(first)
    with pytest.raises(Unsynced):
        other.durable(second)
    say(other, "d")
    say(one, "e")
    say(listening, "f")
    assert ops(one) == ["a", "d", "e", "f"]
    assert whole(make())
    assert [told.op for told in hearing.told if told.op != "checkpoint"][-1] == "f"


def test_a_failed_sync_under_the_lock_takes_back_what_was_appended(make: Make) -> None:
    bank = make()
    say(bank, "a")
    with bank.locked():
        with broken(fdatasync=failing(errno.EIO)), pytest.raises(OSError, match="Errno"):
            say(bank, "b")
        say(bank, "c")
    assert ops(bank) == ["a", "c"]
    assert bank.end == bank.catalog.position()
    assert whole(make())


def test_what_was_synced_while_the_one_who_publishes_is_stopped_stays(make: Make) -> None:
    one, other = make(), make()
    say(one, "a")
    with locks.hold(one.root, layout.SYNC_LOCK):
        say(one, "b")
        assert one.writer.syncing.state().covers(one.end.segment, one.end.offset)
    with broken(fdatasync=failing(errno.EIO)), pytest.raises(OSError, match="Errno"):
        say(other, "c")
    say(other, "d")
    assert ops(other) == ["a", "b", "d"]
    assert whole(make())


def test_a_failed_sync_of_a_checkpoint_voids_what_waits_for_one(make: Make) -> None:
    bank, other = make(), make()
    say(bank, "a")
    _, waiting = bank.begin([Entry("b", {})])
    assert waiting is not None
    bank._checkpointed = [0, 0]
    with broken(fdatasync=failing(errno.EIO)):  # the kernel reports it once
        with pytest.raises(OSError, match="Errno"):
            say(bank, "c")
        with pytest.raises(Unsynced):
            bank.durable(waiting)
    say(other, "d")
    assert ops(other) == ["a", "d"]
    assert whole(make())


def test_what_was_said_of_a_journal_that_was_put_back_from_a_copy_counts_no_more(make: Make) -> None:
    bank = make()
    say(bank, "a")
    segment = Path(bank.root.absolute(layout.segment_file(1)))
    before = segment.read_bytes()
    for _ in range(3):
        say(bank, "gone")
    bank.marking.write = lambda: None  # type: ignore[method-assign]
    bank.abandon()
    segment.write_bytes(before)
    again = make()
    with broken() as calls:
        say(again, "b")
    assert calls.calls.count("fdatasync") >= 2
    assert again.writer.syncing.state().offset == again.end.offset


def dead(*_: object) -> None:
    """A sync on a disk that is gone."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_segment_that_cannot_be_cured_stops_writing_until_it_can(make: Make) -> None:
    one, other = make(), make()
    say(one, "a")
    with broken(fdatasync=dead, fsync=dead):
        with pytest.raises(OSError, match="Errno"):
            say(one, "b")
        with pytest.raises(OSError, match="Errno"):
            say(other, "c")
    say(other, "d")
    assert ops(make()) == ["a", "d"]
    assert whole(make())


def test_segments_that_were_begun_on_a_poisoned_one_are_void(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "CHECKPOINT_SECONDS", 10**12)
    one, other = make(), make()
    say(one, "a", "b")
    _, first = one.begin([Entry("c", {})])
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 1)
    _, second = other.begin([Entry("d", {})])
    assert first is not None
    assert second is not None
    assert len(one.journal.segments()) == 2
    with broken(fdatasync=failing(errno.EIO)), pytest.raises(OSError, match="Errno"):
        one.durable(first)
    with pytest.raises(Unsynced):
        other.durable(second)
    say(other, "e")
    assert ops(make()) == ["a", "b", "e"]
    assert whole(make())


def test_where_starts_are_not_told_apart_each_append_is_synced(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "boot_id", lambda: "")
    synced: list[int] = []
    real = files.sync_data

    def counted(fd: int) -> None:
        synced.append(fd)
        real(fd)

    monkeypatch.setattr(files, "sync_data", counted)
    one, other = make(), make()
    say(one, "a")
    say(other, "b")
    say(one, "c")
    assert len(synced) >= 3
    with broken(fdatasync=failing(errno.EIO)), pytest.raises(OSError, match="Errno"):
        say(one, "d")
    say(other, "e")
    assert ops(one) == ["a", "b", "c", "e"]
    assert whole(make())


# Threads


def test_threads_that_share_a_bank_lose_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "UNTOLD_LINES", 7)
    bank = make()

    def work(name: str) -> None:
        for number in range(20):
            bank.commit([Entry(name, {"number": number})])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abcdefgh":
        assert [line.core["number"] for line in bank.journal.lines() if line.op == name] == list(range(20))
    assert whole(make())
    assert bank.catalog.position() == bank.end


def test_the_mark_lags_a_little_and_is_right_at_close(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "SECONDS", 10**9)
    monkeypatch.setattr(marking, "LINES", 3)
    monkeypatch.setattr(marking, "MOST_LINES", 30)
    monkeypatch.setattr(appending, "CHECKPOINT_SECONDS", 10**12)
    bank = make()
    say(bank, *"ab")
    assert bank.home.mark()[0] == 0
    say(bank, "c")  # nobody wrote one yet
    assert bank.home.mark()[0] == 3
    say(bank, *(str(number) for number in range(9)))
    assert bank.home.mark()[0] == 3  # somebody wrote one a moment ago
    say(bank, *(str(number) for number in range(30)))
    assert bank.home.mark()[0] > 30  # but it lags no more than so much
    end = bank.end
    bank.close()
    assert make().home.mark() == (end.seq, end.hash)


def test_a_catalog_that_cannot_be_read_is_said(make: Make) -> None:
    bank = make()
    say(bank, "a")
    bank.explain(ValueError())
    with pytest.raises(Locked):
        bank.explain(sqlite3.OperationalError("database is locked"))


def test_a_catalog_in_memory_goes_back_to_the_disk(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make()
    first.commit([Entry("x", {"n": 1})])
    assert first.catalog.position().seq == first.end.seq
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "_has_room", lambda _self: False)
        bank = make()
        bank.commit([Entry("x", {"n": 2})])
        bank.leave_memory()
        assert in_memory(bank)
    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "return_to_disk", busy)
        bank.leave_memory()
        assert in_memory(bank)
    end = bank.end
    bank.leave_memory()
    assert not in_memory(bank)
    assert (bank.end, bank.catalog.position()) == (end, end)
    bank.leave_memory()
    assert [line.core["n"] for line in bank.journal.lines(0) if line.op == "x"] == [1, 2]


def in_memory(bank: Bank) -> bool:
    return bank.catalog.in_memory


def busy(_self: Catalog) -> bool:
    raise sqlite3.OperationalError("database is locked")
