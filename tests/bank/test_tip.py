"""NULs behind the last line of the segment that is written to: made, used, given back, and never taken for lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank_cli.bank import journal as journal_module
from memorybank_cli.bank import layout
from memorybank_cli.bank import tip as tip_module
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import CUT, Entry
from memorybank_cli.bank.tip import ROOM, ROOM_AFTER
from memorybank_cli.base import files
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import JournalDamaged
from memorybank_cli.base.locks import Lock
from memorybank_cli.operations.init import init
from tests.bank.rooms import (
    SMALL,
    Open,
    commit,
    empty_bank,
    is_whole,
    killed,
    make,
    names,
    opening,
    ops,
    path,
    segment,
    split,
)
from tests.broken_os import broken, failing

__all__ = ("make", "path")  # fixtures


def test_a_process_that_goes_on_makes_room_and_gives_it_back(path: Path, make: Open) -> None:
    bank = make()
    commit(bank, *names(ROOM_AFTER // 2))
    assert split(path)[1] == b""
    while not bank.journal.tip.has_room:
        commit(bank, "one more")
    lines, room = split(path)
    assert room == ROOM
    size = segment(path).stat().st_size
    commit(bank, "in the room")
    assert segment(path).stat().st_size == size
    assert split(path)[0].startswith(lines)
    assert ops(bank)[-1] == "in the room"
    assert is_whole(bank)
    bank.close()
    assert split(path)[1] == b""
    assert is_whole(make())


def test_a_large_append_makes_no_room(path: Path, make: Open) -> None:
    bank = make()
    commit(bank, *names(ROOM_AFTER))
    room = len(split(path)[1])
    bank.commit([Entry("large", {}, "x" * room)])
    assert split(path)[1] == b""
    commit(bank, "small")
    assert split(path)[1] == ROOM


def test_a_lock_that_somebody_holds_leaves_the_room(path: Path, make: Open) -> None:
    bank, other = make(), make()
    commit(bank, *names(ROOM_AFTER))
    with other.appending():
        bank.close()
    assert split(path)[1].strip(b"\0") == b""
    assert split(path)[1]
    commit(other, "goes on in it")
    other.close()
    assert split(path)[1] == b""
    assert is_whole(make())


KILLED = """
import os, signal, sys
from memorybank_cli.accounts.messages import Message
from memorybank_cli.base.context import Context
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.opening import open_bank
bank = open_bank(Context(bank=sys.argv[1]))
for number in range(20):
    store(bank, "a", [Message("user", f"number {number}")])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_room_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "bank"

    def memorybank(*words: str) -> str:
        command = [str(Path(sys.executable).with_name("memorybank")), *words, "--bank", str(path)]
        return str(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    init(Context(), str(path), account=("a",))
    ended = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert split(path)[1].strip(b"\0") == b""
    assert len(split(path)[1]) > len(ROOM) // 2
    memorybank("log", "--verify")
    memorybank("message", "add", "one more", "--account", "a", "--role", "user")
    memorybank("validate")
    assert memorybank("message", "list", "--account", "a").count("number") == 20
    assert split(path)[1] == b""


def test_what_a_crash_left_in_the_room_is_a_tail(path: Path, make: Open) -> None:
    first = make()
    commit(first, *names(ROOM_AFTER + 2))
    lines, room = split(path)
    killed(first)
    segment(path).write_bytes(lines + room[:100] + b'{"core":{"seq":' + room[200:])
    bank = make()
    assert bank.journal.tail is not None
    commit(bank, "after")
    assert ops(bank) == [*names(ROOM_AFTER + 2), CUT, "after"]
    assert is_whole(bank)


def test_who_knew_the_end_sees_what_a_killed_process_wrote_behind_it(path: Path, make: Open) -> None:
    bank, other = make(), make()
    commit(bank, *names(ROOM_AFTER))
    other.refresh()
    end = bank.end
    # Written, and killed before `sync.lock` said so.
    bank.journal.append(end, [[Entry("not told of", {})]])
    commit(other, "after it")
    assert ops(other)[-2:] == ["not told of", "after it"]
    lines, room = split(path)
    segment(path).write_bytes(lines + b'{"half' + room[6:])
    commit(other, "after the half")
    assert ops(other)[-3:] == ["after it", CUT, "after the half"]
    assert is_whole(other)


def test_who_knew_the_end_sees_a_segment_that_a_killed_process_began(
    make: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, other = make(), make()
    commit(bank, *names(3))
    commit(other, "knows the end")
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 4)

    def die(end: object) -> None:
        raise KeyboardInterrupt(end)

    monkeypatch.setattr(bank.writer, "_wrote", die)
    with pytest.raises(KeyboardInterrupt):
        commit(bank, "in a new segment")
    killed(bank)
    monkeypatch.undo()
    commit(other, "after it")
    assert ops(other) == [*names(3), "knows the end", "in a new segment", "after it"]
    assert is_whole(other)


def test_a_segment_of_nothing_but_nuls_is_no_room(path: Path, make: Open) -> None:
    bank = make()
    commit(bank, *names(3))
    bank.marking.write()
    bank.close()
    segment(path).write_bytes(bytes(500))
    assert [one.rule for one in make().breaks()] == ["MB120"]


def test_room_in_place_of_acknowledged_lines_is_a_break(path: Path, make: Open) -> None:
    bank = make()
    commit(bank, *names(ROOM_AFTER + 2))
    lines, room = split(path)
    bank.marking.write()
    killed(bank)
    kept = lines[: lines.rindex(b"\n", 0, -1) + 1]
    segment(path).write_bytes(kept + bytes(len(lines) - len(kept)) + room)
    again = make()
    assert [one.rule for one in again.breaks()] == ["MB121"]


def test_a_failed_write_takes_the_room_along(path: Path, make: Open) -> None:
    bank = make()
    commit(bank, *names(ROOM_AFTER))
    lines, _ = split(path)
    with broken(write=failing(5)), pytest.raises(OSError, match="Errno 5"):
        commit(bank, "fails")
    assert segment(path).read_bytes() == lines
    commit(bank, "works")
    assert is_whole(bank)


@pytest.mark.parametrize("gone", ["removed", "replaced"])
def test_a_segment_that_lost_its_name_is_not_written_to(path: Path, make: Open, gone: str) -> None:
    bank = make()
    commit(bank, *names(ROOM_AFTER))
    if gone == "removed":
        segment(path).unlink()
    else:
        files.replace(bank.root, layout.segment_file(1), split(path)[0])
    if gone == "removed":
        with pytest.raises(JournalDamaged, match="was acknowledged"):
            commit(bank, "where is it")
    else:
        commit(bank, "where is it")
        assert "where is it" in ops(make())


def test_a_lock_file_that_lost_its_name_is_opened_anew(path: Path, make: Open) -> None:
    bank, other = make(), make()
    commit(bank, *names(ROOM_AFTER))
    (path / layout.SYNC_LOCK).unlink()
    commit(other, "elsewhere")
    commit(bank, "here")
    assert ops(bank)[-2:] == ["elsewhere", "here"]
    lock = Lock(bank.root, layout.LOCK)
    lock.acquire(0)
    (path / layout.LOCK).unlink()
    lock.release()
    lock.acquire(0)
    assert (path / layout.LOCK).exists()
    lock.close()


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["commit", "commit", "commit", "commit", "group", "large", "close", "kill", "crash"]),
    ),
    max_size=40,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_processes_that_come_and_go_lose_nothing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[int, str]]
) -> None:
    monkeypatch.setattr(tip_module, "ROOM", bytes(SMALL))
    monkeypatch.setattr(tip_module, "ROOMY", SMALL)
    monkeypatch.setattr(tip_module, "ROOM_AFTER", 1)
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 7)
    place = tmp_path_factory.mktemp("room")
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(place / "home"))
    path = empty_bank(place / "bank")
    banks: list[Bank | None] = [None, None, None]
    said: list[str] = []
    for who, what in steps:
        bank = banks[who] = banks[who] or opening(path)
        if what == "close":
            bank.close()
            banks[who] = None
        elif what in ("kill", "crash"):
            for number in range(3) if what == "crash" else (who,):
                if (one := banks[number]) is not None:
                    killed(one)
                banks[number] = None
            if what == "crash":
                tear(path)
        else:
            group = [f"{what}{len(said)}.{number}" for number in range(3 if what == "group" else 1)]
            bank.commit([Entry(one, {}, "x" * (2 * SMALL) if what == "large" else None) for one in group])
            said += group
    for one in banks:
        if one is not None:
            one.close()
    last = opening(path)
    last.commit([Entry("last", {})])
    assert [op for op in ops(last) if op != CUT] == [*said, "last"]
    assert is_whole(last)
    last.close()
    assert not any(one.read_bytes().endswith(b"\0") for one in (path / layout.JOURNAL).iterdir())


def tear(path: Path) -> None:
    """Leave what a crash may leave of lines that nobody was told of."""
    if (firsts := sorted(path.glob(f"{layout.JOURNAL}/*"))) and split(path, int(firsts[-1].stem))[0]:
        lines, behind = split(path, int(firsts[-1].stem))
        firsts[-1].write_bytes(lines + behind[:50] + b"torn" + behind[54:])


def test_the_usual_room_is_small_beside_a_segment() -> None:
    assert len(ROOM) * 16 <= journal_module.SEGMENT_BYTES
    assert os.sysconf("SC_PAGE_SIZE") <= len(ROOM)
