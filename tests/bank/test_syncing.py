"""Shared syncs: who waits for whom, what a failed sync means to everybody, and what is believed after a restart."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.bank import layout
from memorybank_cli.bank.syncing import UNKNOWN, Synced, Syncing, Unsynced
from memorybank_cli.base import clock, files, locks
from memorybank_cli.base.walk import Root
from tests.broken_os import broken, failing


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    opened = Root(tmp_path)
    files.make_dirs(opened, layout.PRIVATE)
    yield opened
    opened.close()


@pytest.fixture
def one(root: Root) -> Iterator[Syncing]:
    made = Syncing(root)
    made.publish(Synced(1, 0, 0, False))
    yield made
    made.close()


@pytest.fixture
def other(root: Root) -> Iterator[Syncing]:
    made = Syncing(root)
    yield made
    made.close()


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "segment", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


class Counted:
    """`files.sync_data`, counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.real = 0, files.sync_data
        monkeypatch.setattr(files, "sync_data", self)

    def __call__(self, fd: int) -> None:
        self.count += 1
        self.real(fd)


def test_nothing_is_known_before_it_is_said(root: Root) -> None:
    made = Syncing(root)
    assert made.state() == UNKNOWN
    assert root.stat(layout.SYNC_LOCK) is None  # who only reads makes no file
    made.publish(Synced(3, 70, 2, True))
    assert made.state() == Synced(3, 70, 2, True)
    made.close()


def test_a_record_that_is_half_written_is_read_again(
    one: Syncing, other: Syncing, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.appended(1, 0)
    before = _record(one)
    one.publish(Synced(1, 700, 0, False))
    one.appended(1, 900)
    after = _record(one)
    half = len(after) - 6
    torn = [after[:50] + before[50:], after[:half] + before[half:], after]
    monkeypatch.setattr(os, "pread", lambda *_: torn.pop(0))
    assert other.look() == (Synced(1, 700, 0, False), (1, 900))
    assert torn == []


def test_a_record_that_stays_damaged_says_nothing(one: Syncing, other: Syncing) -> None:
    one.appended(1, 900)
    os.pwrite(one._lock.fd, b"?", 40)
    assert other.look() == (UNKNOWN, (1, 900))


def _record(one: Syncing) -> bytes:
    return os.pread(one._lock.fd, 1 << 10, 0)


def test_one_sync_is_enough_for_what_was_appended_before(
    one: Syncing, other: Syncing, fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    other.appended(1, 300)
    one.durable(fd, 1, 100, 0, 1.0)
    assert one.state() == Synced(1, 300, 0, False)
    other.durable(fd, 1, 300, 0, 1.0)
    assert counted.count == 1
    other.durable(fd, 1, 301, 0, 1.0)
    assert counted.count == 2


def test_what_is_published_never_goes_back(one: Syncing, other: Syncing, fd: int) -> None:
    one.durable(fd, 7, 10, 0, 1.0)
    other.appended(7, 10)
    other.catch_up(Synced(1, 500, 0, False))
    assert one.state() == Synced(7, 10, 0, False)
    one.publish(Synced(7, 10, 1, False))
    with pytest.raises(Unsynced):  # another sync failed meanwhile
        other.catch_up(Synced(7, 20, 0, False))


def test_after_a_failed_sync_everybody_who_waits_is_told(one: Syncing, other: Syncing, fd: int) -> None:
    one.durable(fd, 1, 100, 0, 1.0)
    with broken(fdatasync=failing(errno.EIO)), pytest.raises(OSError, match="Errno"):
        one.durable(fd, 1, 200, 0, 1.0)
    assert other.state() == Synced(1, 100, 1, True, 1, 100)
    with pytest.raises(Unsynced, match="did not take what was written"):
        other.durable(fd, 1, 300, 0, 1.0)
    other.durable(fd, 1, 100, 0, 1.0)  # that was synced before
    other.publish(Synced(1, 100, 1, False))
    other.appended(1, 400)
    other.durable(fd, 1, 400, 1, 1.0)
    with pytest.raises(Unsynced):  # who slept meanwhile: other bytes stand there now
        one.durable(fd, 1, 300, 0, 1.0)


def test_a_stopped_process_does_not_keep_others_from_syncing(
    root: Root, one: Syncing, other: Syncing, fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    with locks.hold(root, layout.SYNC_LOCK):
        one.durable(fd, 1, 100, 0, 0.01)
        assert counted.count == 1
        assert one.state() == Synced(1, 0, 0, False)  # only who holds the lock may say how far it is
        with broken(fdatasync=failing(errno.EIO)), pytest.raises(OSError, match="Errno"):
            one.durable(fd, 1, 100, 0, 0.01)
    assert other.state().poisoned


def test_who_waits_returns_when_somebody_else_synced_that_far(
    root: Root, one: Syncing, other: Syncing, fd: int
) -> None:
    with locks.hold(root, layout.SYNC_LOCK):
        waiter = threading.Thread(target=one.durable, args=(fd, 1, 100, 0, 30.0))
        waiter.start()
        other.publish(Synced(1, 100, 0, False))
        waiter.join(10)
        assert not waiter.is_alive()


@pytest.mark.parametrize("how", ["restarted", "torn", "short"])
def test_what_was_said_before_a_restart_is_not_believed(
    tmp_path: Path, root: Root, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Syncing(root)
    made.publish(Synced(1, 0, 0, False))
    made.close()
    file = tmp_path / layout.SYNC_LOCK
    if how == "restarted":
        monkeypatch.setattr(clock, "boot_id", lambda: "another")
    else:
        data = file.read_bytes()
        file.write_bytes(data[:50] + b"?" + data[51:] if how == "torn" else data[:40])
    again = Syncing(root)
    assert again.state() == UNKNOWN
    again.close()


def test_where_the_system_does_not_tell_its_starts_nothing_is_shared(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "boot_id", lambda: "")
    made = Syncing(root)
    made.publish(Synced(1, 2, 3, False))
    assert not made.shares
    assert made.state() == UNKNOWN
    made.close()
