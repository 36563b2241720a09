"""What comes between two steps of a process at the newest segment: others go on, die, or take files away."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import compaction, layout
from memorybank_cli.bank import journal as journal_module
from memorybank_cli.bank import tip as tip_module
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.syncing import Unsynced
from memorybank_cli.bank.tip import ROOM, ROOM_AFTER
from memorybank_cli.bank.writing import Appended
from memorybank_cli.base.errors import JournalDamaged
from tests.bank.rooms import (
    SMALL,
    Open,
    commit,
    is_whole,
    killed,
    make,
    names,
    ops,
    path,
    segment,
    split,
)
from tests.broken_os import Fault, Stopped, broken, failing, stop

__all__ = ("make", "path")  # fixtures


First = Callable[[object, str, Callable[[], object]], None]


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> First:
    """Have something happen right before the next call of a method of one object, and of that call only."""

    def call(owner: object, name: str, what: Callable[[], object]) -> None:
        real = getattr(owner, name)

        def meanwhile(*args: Any) -> Any:
            monkeypatch.setattr(owner, name, real)
            what()
            return real(*args)

        monkeypatch.setattr(owner, name, meanwhile)

    return call


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tip_module, "ROOM", bytes(SMALL))


def appended(bank: Bank, name: str, data: str | None = None) -> Appended:
    """A line that was appended, and that nobody was told of yet."""
    _, what = bank.begin([Entry(name, {}, data)])
    assert what is not None
    return what


def fails(bank: Bank, what: Appended) -> None:
    """The disk does not take it: whoever appended it is told."""
    with broken(fdatasync=failing(5)), pytest.raises(OSError, match="Errno 5"):
        bank.durable(what)


def full_beyond(most: int) -> Fault:
    """A write of a disk on which no file may have more bytes: it writes what fits, then fails with ENOSPC."""

    def fault(real: Callable[..., int], fd: int, data: bytes, at: int) -> int:
        if at >= most:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, bytes(data)[: most - at], at)

    return fault


def forget_catalog(path: Path) -> None:
    for one in path.glob(f"{layout.PRIVATE}/catalog*"):
        one.unlink()


def contents(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in (path / layout.JOURNAL).iterdir()}


def begin_segment(bank: Bank, *ops: str) -> None:
    bank.journal.closes = True
    commit(bank, *ops)


@pytest.mark.usefixtures("small_room")
def test_a_reader_that_is_passed_by_takes_no_room_for_damage(make: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = make(), make()
    commit(writer, *names(ROOM_AFTER))
    assert writer.journal.tip.has_room
    read, later = reader.journal._blocks, names(20)

    def slowly(first: int, offset: int, end: int | None) -> Iterator[bytes]:
        for block in read(first, offset, end):
            yield block
            while later:
                commit(writer, later.pop())

    monkeypatch.setattr(reader.journal, "_blocks", slowly)
    reader.refresh()
    assert not later
    assert (reader.journal.tail, reader.breaks(), reader.end) == (None, [], writer.end)


def test_a_read_that_a_write_overtakes_is_done_again(make: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = make(), make()
    commit(writer, *names(ROOM_AFTER))
    pread = os.pread
    torn: list[int] = []

    def overtaken(fd: int, size: int, offset: int) -> bytes:
        data = pread(fd, size, offset)
        if size < journal_module.NEAR or torn:
            return data
        torn.append(fd)
        return data[:100] + bytes(300) + data[400:]  # the page before was looked at while it was room

    monkeypatch.setattr(os, "pread", overtaken)
    reader.refresh()
    assert torn
    assert (reader.journal.tail, reader.breaks(), reader.end) == (None, [], writer.end)


@pytest.mark.parametrize("gone", [(layout.SYNC_LOCK,), (layout.SYNC_LOCK, layout.LOCK)])
def test_who_lost_its_sync_lock_follows_the_new_one(path: Path, make: Open, gone: tuple[str, ...]) -> None:
    bank, other = make(), make()
    commit(bank, "before")
    for one in gone:
        (path / one).unlink()
    begin_segment(other, "elsewhere")
    killed(other)
    commit(bank, "here")
    assert ops(bank) == ["before", "elsewhere", "here"]
    assert is_whole(make())


def test_a_private_directory_that_was_moved_away_is_not_written_to(path: Path, make: Open, tmp_path: Path) -> None:
    bank, private, aside = make(), path / layout.PRIVATE, tmp_path / "aside" / layout.PRIVATE
    commit(bank, *names(3))
    aside.parent.mkdir()
    private.rename(aside)
    shutil.copytree(aside, private)
    before = segment(aside.parent).read_bytes()
    commit(bank, "in the one that stands there")
    assert ops(make())[-1] == "in the one that stands there"
    assert segment(aside.parent).read_bytes() == before


def test_nuls_at_the_end_of_a_closed_segment_cut_nothing(
    path: Path, make: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = make()
    commit(bank, *names(3))
    begin_segment(bank, "acknowledged")
    bank.close()
    lines, _ = split(path)
    kept = lines[: lines.rindex(b"\n", 0, -1) + 1]
    segment(path).write_bytes(kept + bytes(len(lines) - len(kept)))
    forget_catalog(path)
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(tmp_path / "another"))  # nobody knows of an acknowledged line
    before = contents(path)
    again = make()
    assert again.journal.tail is None
    assert [one.rule for one in again.breaks()] == ["MB120"]
    with pytest.raises(JournalDamaged):
        commit(again, "not after damage")
    assert contents(path) == before
    assert ops(again) == [*names(2), "acknowledged"]


def test_a_disk_without_place_for_room_takes_lines(path: Path, make: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = make()
    commit(bank, *names(3))
    assert split(path)[1] == b""
    monkeypatch.setattr(tip_module, "ROOM_AFTER", 1)
    with broken(write=full_beyond(len(ROOM) // 2)):
        commit(bank, "small")
    assert not bank.journal.tip.has_room
    assert split(path)[1] == b""
    commit(bank, "there is place again")
    assert split(path)[1] == ROOM
    assert ops(bank) == [*names(3), "small", "there is place again"]
    assert is_whole(make())


def test_a_segment_that_is_packed_meanwhile_is_ahead(make: Open, first: First) -> None:
    bank, reader = make(), make()
    commit(bank, *names(3))
    reader.refresh()
    commit(bank, *names(ROOM_AFTER))  # so that its size alone does not tell

    def pack() -> None:
        begin_segment(bank, "in the next one")
        assert compaction._compacted(bank, 1, None, bank.end.seq)

    first(reader.journal, "_is_room", pack)
    reader.refresh()
    assert reader.journal.is_packed(1)
    assert (reader.journal.tail, reader.breaks(), reader.end) == (None, [], bank.end)


def test_who_read_without_the_lock_reads_again_under_it(make: Open, first: First) -> None:
    bank, other = make(), make()
    commit(bank, "one")
    other.refresh()
    what = appended(bank, "tried twice")

    def again() -> None:
        fails(bank, what)
        commit(bank, "tried twice")

    first(other, "_settle", again)
    other.refresh()
    commit(other, "after it")
    assert ops(other) == ["one", "tried twice", "after it"]
    assert is_whole(make())


def test_a_cure_takes_back_how_far_lines_were_appended(make: Open, first: First) -> None:
    bank, other = make(), make()
    commit(bank, "one", "two")
    fails(bank, appended(bank, "void", "x" * 5_000))
    third = make()
    with third.appending():
        third.journal.append(third.end, [[Entry("not told of", {})]], sync=False)
    killed(third)
    with other.appending():
        waits = other.writer.appended(other.end)  # who renders that line waits until it is on the disk
    first(bank.journal.tip, "put", lambda: other.durable(waits))
    with broken() as fake:
        commit(bank, "acknowledged")
    assert fake.calls.count("fdatasync") == 2  # the first came before the line
    assert ops(bank) == ["one", "two", "not told of", "acknowledged"]


def test_a_sync_that_fails_where_nothing_is_known_voids_nothing_else(path: Path, make: Open) -> None:
    bank = make()
    commit(bank, "one")
    begin_segment(bank, "two")
    what = appended(bank, "three")
    (path / layout.SYNC_LOCK).unlink()
    before = contents(path)
    fails(bank, what)
    assert contents(path) == before
    assert is_whole(make())


def test_a_checkpoint_that_is_not_synced_voids_what_was_appended_before_it(make: Open) -> None:
    bank = make()
    commit(bank, *names(3))
    what = appended(bank, "of another thread")
    bank._checkpointed = [0, 0]  # one is due
    with broken(fdatasync=failing(5)):
        with pytest.raises(OSError, match="Errno 5"):
            commit(bank, "behind the checkpoint")
        with pytest.raises(Unsynced):
            bank.durable(what)  # its own sync would say nothing: the system tells an error once
    assert ops(bank) == names(3)
    commit(bank, "works")
    assert is_whole(make())


def test_a_journal_that_was_put_back_is_synced_again(
    path: Path, make: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, journal, copy = make(), path / layout.JOURNAL, tmp_path / "copy"
    commit(bank, "one", "two")
    shutil.copytree(journal, copy)
    commit(bank, *names(9))
    killed(bank)
    shutil.rmtree(journal)
    shutil.copytree(copy, journal)
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(tmp_path / "another"))
    again = make()
    commit(again, "behind a checkpoint")
    with broken() as fake:
        commit(again, "acknowledged")
    assert fake.calls.count("fdatasync") == 1
    assert is_whole(again)


def test_a_killed_repair_is_followed(path: Path, make: Open, first: First) -> None:
    bank = make()
    commit(bank, *names(3))
    begin_segment(bank, "in the next one")
    segment(path).write_bytes(segment(path).read_bytes().replace(b'"op1"', b'"???"'))
    forget_catalog(path)
    repair = make()
    assert [one.rule for one in repair.breaks()] == ["MB120"]
    first(repair.writer, "restart", lambda: stop("kill"))
    with pytest.raises(Stopped):
        repair.record_gap({"reason": "test"})
    killed(repair)
    commit(bank, "acknowledged")
    assert ops(bank)[-3:] == ["in the next one", "journal.gap", "acknowledged"]
    forget_catalog(path)
    again = make()
    assert again.breaks() == []
    assert is_whole(again)


def test_a_line_that_was_synced_before_a_sync_failed_is_acknowledged(make: Open) -> None:
    bank, other, third = make(), make(), make()
    for one in (bank, other, third):
        commit(one, "one")
    what = appended(bank, "synced by another")
    commit(other, "acknowledged")
    with broken(fdatasync=failing(5)), pytest.raises(OSError, match="Errno 5"):
        commit(third, "void")
    bank.durable(what)
    assert ops(make()) == ["one", "one", "one", "synced by another", "acknowledged"]


@pytest.mark.parametrize("fails_again", [False, True])
def test_a_line_that_was_cut_is_refused_although_others_went_on_beyond_its_place(make: Open, fails_again: bool) -> None:
    bank, other = make(), make()
    for one in (bank, other):
        commit(one, "one")
    what = appended(bank, "cut")
    with broken(fdatasync=failing(5)), pytest.raises(OSError, match="Errno 5"):
        commit(other, "void")
    commit(other, *names(5))
    if fails_again:  # and is not cured yet
        void = appended(other, "void, too")
        with broken(fdatasync=failing(5)), pytest.raises(OSError, match="Errno 5"):
            other.writer.durable(void, 1.0)
    with pytest.raises(Unsynced):
        bank.durable(what)
    assert ops(make()) == ["one", "one", *names(5)]


def test_after_a_sync_that_failed_where_nothing_is_known_others_go_on_in_a_fresh_file(path: Path, make: Open) -> None:
    bank = make()
    commit(bank, "one")
    what = appended(bank, "two")
    before = segment(path).stat().st_ino
    (path / layout.SYNC_LOCK).unlink()
    fails(bank, what)  # the system has told of it, and calls the pages clean from now on
    commit(make(), "acknowledged")
    assert segment(path).stat().st_ino != before
    assert ops(make()) == ["one", "two", "acknowledged"]
