from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.recovery import finish_replacements
from memorybank_cli.bank.replacing import BEGIN, END
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.base import digests, files, locks
from memorybank_cli.base.context import Context
from memorybank_cli.operations.opening import open_bank
from tests.broken_os import broken, failing
from tests.conftest import MakeBank

STATE = "state/state.json"
STAGE = f"{layout.SCRATCH}/one"
NEW = b'{"new": 1}'


@pytest.fixture
def bank(make_bank: MakeBank) -> Iterator[Bank]:
    opened = open_bank(Context(bank=str(make_bank())))
    yield opened
    opened.close()


def begin(bank: Bank, staged: bytes | None = NEW, path: str = STATE) -> bytes:
    """A replacement that was begun by a process that died; what stands there."""
    old = bank.root.read(path)
    row = FileRow(path, digests.of(NEW), len(NEW), 0o600, [], "state", digests.of(old))
    bank.commit([Entry(BEGIN, {"id": "one", "reason": "test", "files": [list(row)]})])
    files.make_dirs(bank.root, STAGE)
    if staged is not None:
        files.replace(bank.root, f"{STAGE}/0", staged)
    return old


def ends(bank: Bank) -> list[dict[str, object]]:
    return [line.core for line in bank.journal.lines() if line.op == END]


def kept(bank: Bank) -> list[bytes]:
    return [bank.root.read(f"{layout.QUARANTINE}/{entry.name}") for entry in bank.root.listing(layout.QUARANTINE)]


def test_what_is_still_staged_is_swapped_in(bank: Bank) -> None:
    old = begin(bank)
    finish_replacements(bank)
    assert bank.root.read(STATE) == NEW
    assert kept(bank) == [old]
    assert bank.root.listing(layout.SCRATCH) == []
    (end,) = ends(bank)
    assert (end["id"], end["reason"], end["recovered"]) == ("one", "test", True)
    assert list(end["kept"]) == [STATE]  # type: ignore[call-overload]
    expected = bank.catalog.row(STATE).expected
    assert expected is not None
    assert expected.sha == digests.of(NEW)


def test_what_came_out_already_goes_to_quarantine(bank: Bank) -> None:
    old = begin(bank)
    assert files.exchange(bank.root, f"{STAGE}/0", STATE)
    finish_replacements(bank)
    assert bank.root.read(STATE) == NEW
    assert kept(bank) == [old]
    assert list(ends(bank)[0]["kept"]) == [STATE]  # type: ignore[call-overload]


def test_a_stage_that_is_empty_is_done(bank: Bank) -> None:
    begin(bank, staged=None)
    files.replace(bank.root, STATE, NEW)
    finish_replacements(bank)
    assert bank.root.read(STATE) == NEW
    assert kept(bank) == []
    assert len(ends(bank)) == 1


def test_what_an_agent_wrote_since_is_kept(bank: Bank) -> None:
    begin(bank)
    files.replace(bank.root, STATE, b'{"agent": "was here"}')
    finish_replacements(bank)
    assert bank.root.read(STATE) == NEW
    assert kept(bank) == [b'{"agent": "was here"}']


def test_a_removal_is_done_again(bank: Bank) -> None:
    old = bank.root.read(STATE)
    row = FileRow(STATE, None, 0, 0, [], "state", digests.of(old))
    bank.commit([Entry(BEGIN, {"id": "one", "reason": "test", "files": [list(row)]})])
    files.make_dirs(bank.root, STAGE)
    finish_replacements(bank)
    assert bank.root.stat(STATE) is None
    assert kept(bank) == [old]
    assert bank.catalog.row(STATE).expected is None


@pytest.mark.parametrize("since", [NEW, None, b"the same"])
def test_what_was_taken_out_already_is_kept_and_what_came_since_stays(bank: Bank, since: bytes | None) -> None:
    """A crash may leave a file that was moved in both places."""
    old = bank.root.read(STATE)
    row = FileRow(STATE, None, 0, 0, [], "state", digests.of(old))
    bank.commit([Entry(BEGIN, {"id": "one", "reason": "test", "files": [list(row)]})])
    files.make_dirs(bank.root, STAGE)
    files.rename(bank.root, STATE, f"{STAGE}/0")
    if since is not None:
        files.replace(bank.root, STATE, NEW if since == NEW else old)
    finish_replacements(bank)
    assert bank.root.content(STATE) == (NEW if since == NEW else None)
    assert {*kept(bank)} == {old}


def test_scratch_of_nobody_is_removed(bank: Bank) -> None:
    files.make_dirs(bank.root, f"{layout.SCRATCH}/a/b")
    files.replace(bank.root, f"{layout.SCRATCH}/a/b/c", NEW)
    files.replace(bank.root, f"{layout.SCRATCH}/stray", NEW)
    end = bank.end
    finish_replacements(bank)
    assert bank.root.listing(layout.SCRATCH) == []
    assert bank.end == end


def test_an_ended_replacement_is_not_done_again(bank: Bank) -> None:
    old = begin(bank)
    finish_replacements(bank)
    files.replace(bank.root, STATE, old)
    files.make_dirs(bank.root, STAGE)
    files.replace(bank.root, f"{STAGE}/0", NEW)
    finish_replacements(bank)
    assert bank.root.read(STATE) == old
    assert len(ends(bank)) == 1


def test_while_somebody_holds_the_lock_the_stage_stays(bank: Bank) -> None:
    old = begin(bank)
    with locks.hold(bank.root, layout.LOCK):
        finish_replacements(bank)
        assert bank.root.read(STATE) == old
        assert len(bank.root.listing(layout.SCRATCH)) == 1
    finish_replacements(bank)
    assert bank.root.read(STATE) == NEW


def test_on_a_damaged_journal_the_stage_stays(bank: Bank) -> None:
    old = begin(bank)
    segment = Path(bank.root.absolute(layout.segment_file(1)))
    segment.write_bytes(segment.read_bytes()[5:])
    bank.rebuild_catalog()
    assert bank.breaks()
    finish_replacements(bank)
    assert bank.root.read(STATE) == old
    bank.record_gap({})
    finish_replacements(bank)
    assert bank.root.read(STATE) == NEW


def test_on_a_full_disk_the_stage_waits(bank: Bank) -> None:
    old = begin(bank)
    with broken(mkdir=failing(errno.ENOSPC), rename=failing(errno.ENOSPC)):
        finish_replacements(bank)
    assert len(bank.root.listing(layout.SCRATCH)) == 1
    finish_replacements(bank)
    assert bank.root.read(STATE) == NEW
    assert old in kept(bank)


def test_the_lines_of_one_act_are_joined(bank: Bank) -> None:
    names = [f"state/n{number}.json" for number in range(5)]
    rows: list[list[object]] = [[name, digests.of(NEW), len(NEW), 0o600, [], "state", None] for name in names]
    first = {"id": "one", "reason": "test", "snapshot": "s", "files": rows[:2]}
    parts = [
        first,
        {"id": "one", "reason": "test", "files": rows[2:4]},
        {"id": "one", "reason": "x", "files": rows[4:]},
    ]
    bank.commit([Entry(BEGIN, part) for part in parts])
    files.make_dirs(bank.root, STAGE)
    for number in (0, 2, 3, 4):
        files.replace(bank.root, f"{STAGE}/{number}", NEW)
    files.replace(bank.root, names[1], NEW)
    assert finish_replacements(bank) == [BEGIN]
    assert [bank.root.read(name) for name in names] == [NEW] * 5
    assert [[row[0] for row in end["files"]] for end in ends(bank)] == [names[:2], names[2:4], names[4:]]  # type: ignore[attr-defined]
    assert [end.get("snapshot") for end in ends(bank)] == ["s", None, None]
    assert len({tuple(end["txn"][:1]) for end in ends(bank)}) == 1  # type: ignore[index]
    assert all(bank.catalog.row(name).expected is not None for name in names)
    assert finish_replacements(bank) == []


def test_acts_of_other_kinds_have_their_own_finisher(bank: Bank) -> None:
    old = begin(bank)
    bank.commit([Entry("migrate.begin", {"id": "two", "step": [1, 2], "snapshot": "s", "repository": "r"})])
    files.make_dirs(bank.root, f"{layout.SCRATCH}/two")
    calls: list[tuple[str, bytes]] = []

    def finish(_bank: Bank, act: str, begun: list[Line]) -> None:
        calls.append((act, bank.root.read(STATE)))
        bank.commit([Entry("migrate.end", {"id": act, "files": [], "of": begun[0].core["step"]})])

    assert finish_replacements(bank, {"migrate.begin": finish}) == ["migrate.begin", BEGIN]
    assert calls == [("two", old)]
    assert bank.root.listing(layout.SCRATCH) == []
