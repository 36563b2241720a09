from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import appending, layout, marking, rendering
from memorybank_cli.bank import journal as journal_module
from memorybank_cli.bank.bank import Applier, Bank, Gate
from memorybank_cli.bank.chain import CHECKPOINT, GAP, START, Reading
from memorybank_cli.bank.following import Told
from memorybank_cli.bank.journal import CUT, Entry
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import digests, files, locks
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import CopiedBank, FormatMismatch, JournalDamaged, Locked, OperationFailed
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.records import Progress
from tests.broken_os import Fault, broken, failing, full_after

BANK_ID = "0193-test"
DOCUMENT = {"format": 1, "bank_id": BANK_ID, "created_at": "2026-11-20T14:00:00.000000Z", "identity_key": "0" * 64}


class Notes(Progress):
    """What was said to the user."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


class Counting:
    """An applier of events `count.up`: each account has one file that says how often, and at which line."""

    ops = frozenset({"count.up"})

    def admit(self, bank: Bank, entries: list[Entry]) -> list[Entry]:
        assert bank.end == bank.catalog.position()
        return [entry for entry in entries if not entry.fields.get("duplicate")]

    def render(self, bank: Bank, account: str, upto: int) -> list[Rendering]:
        count = sum(1 for line in bank.journal.lines() if line.op in self.ops and line.seq <= upto)
        return [Rendering(f"account_{account}/account.json", "account", dumps({"count": count, "seq": upto}))]

    def is_rendering(self, bank: Bank, path: str, data: bytes) -> bool:
        return b'"seq":' in data

    def heard(self, bank: Bank, told: list[Told]) -> None:
        """It keeps nothing in memory."""

    def lost(self) -> None:
        """It keeps nothing in memory."""


Open = Callable[..., Bank]


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    bank = tmp_path / "bank"
    (bank / layout.PRIVATE).mkdir(parents=True, mode=0o700)
    (bank / "bank.json").write_bytes(dumps(DOCUMENT))
    return bank


@pytest.fixture
def make(path: Path, notes: Notes) -> Iterator[Open]:
    opened: list[Bank] = []

    def call(where: Path = path, appliers: Iterable[Applier] = (), gates: Iterable[Gate] = (), **options: Any) -> Bank:
        bank = Bank(
            str(where),
            Context(progress=notes, lock_timeout=options.pop("lock_timeout", 0.0), **options),
            appliers,
            gates,
        )
        bank.refresh()
        opened.append(bank)
        return bank

    yield call
    for bank in opened:
        bank.abandon()


@pytest.fixture
def bank(make: Open) -> Bank:
    return make()


def all_ops(bank: Bank) -> list[str]:
    return [line.op for line in bank.journal.lines()]


def ops(bank: Bank) -> list[str]:
    return [op for op in all_ops(bank) if op != CHECKPOINT]


def reading(bank: Bank) -> Reading:
    *_, found = bank.journal.read(START, bank.home.mark())
    assert isinstance(found, Reading)
    return found


def segment(bank: Bank, first: int = 1) -> Path:
    return Path(bank.root.absolute(layout.segment_file(first)))


def commit(bank: Bank, *names: str) -> None:
    for name in names:
        bank.commit([Entry(name, {})])
    bank.marking.write()


# Opening


def test_a_bank_names_itself(bank: Bank, path: Path) -> None:
    assert bank.bank_id == BANK_ID
    assert bank.owner == os.getuid()
    assert bank.is_empty
    assert repr(bank) == f"Bank('{path}')"
    assert bank.modes == (0o600, 0o700)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"bank_id": 7, "format": 1}'])
def test_what_is_no_bank(make: Open, path: Path, data: bytes) -> None:
    (path / "bank.json").write_bytes(data)
    with pytest.raises(OperationFailed, match="does not name a bank"):
        make()


def test_another_format(make: Open, path: Path) -> None:
    (path / "bank.json").write_bytes(dumps({**DOCUMENT, "format": 2}))
    with pytest.raises(FormatMismatch, match="format 2, this program writes 1") as caught:
        make()
    assert caught.value.exit_code == 14


@pytest.mark.parametrize("damage", [None, b"", b'{"format": 1, "bank', b"\0" * 100])
def test_a_damaged_document_is_known_from_the_journal(make: Open, bank: Bank, path: Path, damage: bytes | None) -> None:
    bank.commit(
        [Entry("bank.created", {"document": {"bank_id": "older", "format": 1, "identity_key": "0" * 64}, "files": []})]
    )
    bank.commit([Entry("bank.renamed", {"document": DOCUMENT, "files": []})])
    if damage is None:
        (path / "bank.json").unlink()
    else:
        (path / "bank.json").write_bytes(damage)
    assert make().bank_id == BANK_ID


def test_a_bank_for_a_group(make: Open, path: Path) -> None:
    (path / "bank.json").write_bytes(dumps({**DOCUMENT, "group": "staff"}))
    shared = make()
    assert shared.modes == (0o660, 0o2770)


def test_settings_loosen_only_when_the_config_is_trusted(make: Open, bank: Bank, path: Path) -> None:
    config = path / layout.CONFIG
    config.parent.mkdir()
    config.write_bytes(b'{"settle_ms": 7, "limits": {"trades_mib": 9}, "actor": "mallory"}')
    found = make().settings
    assert (found["settle_ms"], found["limits.trades_mib"], found["actor"]) == (7, 1, "")
    bank.home.trust({layout.CONFIG: digests.of(config.read_bytes())})
    assert make().settings["limits.trades_mib"] == 9
    config.write_bytes(config.read_bytes() + b"\n")
    assert make().settings["limits.trades_mib"] == 1
    for data in (b"{", b"[1]", b""):
        config.write_bytes(data)
        assert make().settings["settle_ms"] == 150


def test_the_author_is_the_option_the_setting_or_the_user(make: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make(actor="me").journal.actor == "me"
    monkeypatch.setenv("MEMORYBANK_ACTOR", "env")
    assert make().journal.actor == "env"
    monkeypatch.delenv("MEMORYBANK_ACTOR")
    monkeypatch.setenv("LOGNAME", "login")
    assert make().journal.actor == "login"
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_123_456)
    assert make().journal.actor == "uid 4123456"


def test_own_schemas_are_taken_where_they_can_be_read(bank: Bank, path: Path) -> None:
    folder = path / layout.CONFIG_SCHEMAS
    folder.mkdir(parents=True)
    (folder / "good.schema.json").write_bytes(b'{"type": "object"}')
    (folder / "bad.schema.json").write_bytes(b"{")
    (folder / "list.schema.json").write_bytes(b"[]")
    (folder / "other.json").write_bytes(b"{}")
    (folder / "link.schema.json").symlink_to("good.schema.json")
    assert {"good"} == {name for name in bank.registry.names() if name in {"good", "bad", "list", "other", "link"}}


# Writing


def test_what_is_committed_is_there_for_everybody(make: Open, bank: Bank) -> None:
    other = make()
    lines = bank.commit([Entry("a", {"n": 1}), Entry("b", {}, {"secret": 1})])
    assert [line.op for line in lines] == ["a", "b"]
    assert bank.end.seq == 2
    assert bank.is_empty  # of a baseline: nothing says yet what the bank is
    assert bank.home.mark() == (2, lines[-1].hash)
    other.refresh()
    assert other.end == bank.end
    assert reading(bank) == Reading(bank.end, (), None)


def test_nothing_is_committed_when_there_is_nothing(bank: Bank) -> None:
    assert bank.commit([]) == []
    assert bank.is_empty


def test_entries_are_committed_as_one_group(bank: Bank) -> None:
    bank.commit([Entry("a", {}), Entry("b", {})])
    assert [line.core["txn"][1:] for line in bank.journal.lines()] == [[0, 2], [1, 2]]


def test_gates_come_before_the_lock_and_appliers_under_it(make: Open) -> None:
    def gate(bank: Bank, entry: Entry) -> Entry:
        if entry.op == "bad":
            raise OperationFailed("no")
        with locks.hold(bank.root, layout.LOCK, timeout=0):
            return replace(entry, fields={**entry.fields, "gated": True})

    bank = make(appliers=[Counting()], gates=[gate])
    files.make_dirs(bank.root, layout.PRIVATE)
    lines = bank.commit([Entry("x", {}), Entry("x", {"duplicate": True})])
    assert len(lines) == 1
    assert lines[0].core["gated"] is True
    with pytest.raises(OperationFailed, match="no"):
        bank.commit([Entry("x", {}), Entry("bad", {})])
    assert bank.commit([Entry("x", {"duplicate": True})]) == []
    assert ops(bank) == ["x"]


def test_a_lock_that_is_held_is_waited_for_and_then_given_up(make: Open, bank: Bank) -> None:
    commit(bank, "a")
    with bank.locked(), bank.locked(), pytest.raises(Locked, match=r"waited 0 s") as caught:
        commit(make(), "b")
    assert caught.value.exit_code == 11
    commit(make(), "c")
    assert ops(bank) == ["a", "c"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_two_processes_lose_nothing(path: Path) -> None:
    def work(name: str) -> None:
        bank = Bank(str(path), Context(actor=name))
        for number in range(25):
            bank.commit(
                [Entry("n", {"number": number}), Entry("m", {})] if number % 3 else [Entry("n", {"number": number})]
            )
        os._exit(0)

    children = []
    for name in ("one", "two"):
        child = os.fork()
        if not child:
            try:
                work(name)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    bank = Bank(str(path), Context())
    bank.refresh()
    assert bank.breaks() == []
    assert reading(bank) == Reading(bank.end, (), None)
    for name in ("one", "two"):
        own = [line.core["number"] for line in bank.journal.lines() if line.op == "n" and line.core["actor"] == name]
        assert own == list(range(25))
    assert [line.seq for line in bank.journal.lines()] == list(range(1, bank.end.seq + 1))
    assert 0 < bank.home.mark()[0] <= bank.end.seq  # it may lag
    bank.close()


FAULTS: dict[str, Callable[[], dict[str, Fault]]] = {
    "write": lambda: {"write": failing(errno.EIO)},
    "short write": lambda: {"write": full_after(40)},
    "fdatasync": lambda: {"fdatasync": failing(errno.EIO)},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_commit_that_fails_was_none(make: Open, bank: Bank, fault: str) -> None:
    commit(bank, "a")
    before = segment(bank).read_bytes()
    with broken(**FAULTS[fault]()), pytest.raises(OSError, match="Errno"):
        bank.commit([Entry("b", {}), Entry("c", {})])
    assert segment(bank).read_bytes() == before
    assert make().end == bank.end
    commit(bank, "d")
    assert ops(bank) == ["a", "d"]
    assert reading(bank) == Reading(bank.end, (), None)


def test_a_mark_that_cannot_be_written_is_said(bank: Bank, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "SECONDS", 0)
    commit(bank, "a")
    with broken(rename=failing(errno.ENOSPC)):
        commit(bank, "b")
    assert notes.said == ["the high-water mark could not be written: no space left on device"]
    assert bank.home.mark()[0] == 1
    assert ops(bank) == ["a", "b"]
    assert bank.end.seq == 3


def test_checkpoints_come_by_count_and_by_time(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(bank, "a", "b")
    assert all_ops(bank) == ["a", CHECKPOINT, "b"]
    commit(bank, "c", "d")
    assert all_ops(bank)[3:] == ["c", "d"]
    monkeypatch.setattr(appending, "CHECKPOINT_LINES", 2)
    end = bank.end
    lines = bank.commit([Entry("e", {})])
    assert [line.op for line in lines] == ["e"]
    assert all_ops(bank)[5:] == [CHECKPOINT, "e"]
    checkpoint = [line for line in bank.journal.lines() if line.op == CHECKPOINT][-1]
    assert checkpoint.core["upto"] == [end.seq, end.hash]
    monkeypatch.setattr(appending, "CHECKPOINT_LINES", 1_000)
    commit(bank, "f")
    monkeypatch.setattr(appending, "CHECKPOINT_SECONDS", -1)
    commit(bank, "g")
    assert all_ops(bank)[7:] == ["f", CHECKPOINT, "g"]


# Damage


def test_a_tail_is_cut_at_the_next_write_and_that_is_recorded(make: Open, bank: Bank) -> None:
    commit(bank, "a")
    whole = segment(bank).read_bytes()
    segment(bank).write_bytes(whole + b'{"core":{"seq":2')
    again = make()
    assert again.journal.tail is not None
    assert again.breaks() == []
    assert segment(bank).read_bytes() != whole
    commit(again, "b")
    cut = next(line for line in again.journal.lines() if line.op == CUT)
    assert (cut.core["offset"], cut.core["bytes"]) == (len(whole), 16)
    assert segment(bank).read_bytes().startswith(whole)
    assert reading(bank) == Reading(again.end, (), None)
    bank.refresh()
    assert bank.end == again.end


def test_whole_lines_of_a_torn_group_are_not_read(make: Open, bank: Bank) -> None:
    commit(bank, "a")
    mark, whole = bank.home.mark(), len(segment(bank).read_bytes())
    bank.commit([Entry(op, {"path": "x.json"}) for op in ("b", "c")])
    data = bytearray(segment(bank).read_bytes())
    data[whole : whole + 50] = bytes(50)
    segment(bank).write_bytes(data)
    bank.home.set_mark(*mark)
    again = make()
    assert again.journal.tail is not None
    assert [line.op for line in again.journal.lines()][-1] == "a"
    assert list(again.journal.newest_first(b"x.json")) == again.journal.lines_about("x.json") == []
    assert [seq for seq, _ in again.journal.times()][-1] == again.end.seq
    commit(again, "d")
    assert [line.op for line in again.journal.lines()][-2:] == [CUT, "d"]


def test_a_tail_that_another_process_cut_is_forgotten(make: Open, bank: Bank) -> None:
    commit(bank, "a")
    segment(bank).write_bytes(segment(bank).read_bytes() + b"garbage")
    one, two = make(), make()
    commit(one, "b")
    commit(two, "c")
    assert ops(bank).count(CUT) == 1
    assert reading(bank) == Reading(two.end, (), None)


def damage_last_line(bank: Bank) -> None:
    whole = segment(bank).read_bytes()
    segment(bank).write_bytes(whole[:-4])


def damage_first_line(bank: Bank) -> None:
    segment(bank).write_bytes(b"?" + segment(bank).read_bytes()[1:])


def damage_everything(bank: Bank) -> None:
    segment(bank).write_bytes(bytes(500))


def cut_lines(bank: Bank) -> None:
    first = segment(bank).read_bytes().index(b"\n") + 1
    segment(bank).write_bytes(segment(bank).read_bytes()[:first])


def remove_journal(bank: Bank) -> None:
    shutil.rmtree(segment(bank).parent)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (damage_last_line, "MB120"),
        (damage_first_line, "MB120"),
        (damage_everything, "MB120"),
        (cut_lines, "MB121"),
        (remove_journal, "MB121"),
    ],
)
@pytest.mark.parametrize("known", ["the catalog is there", "the catalog is lost"])
def test_writing_is_refused_while_the_journal_is_broken(
    make: Open, bank: Bank, damage: Callable[[Bank], None], rule: str, known: str
) -> None:
    commit(bank, "a", "b", "c")
    damage(bank)
    if known == "the catalog is lost":
        for file in (Path(bank.root.path) / layout.PRIVATE).glob("catalog*"):
            file.unlink()
    elif damage is damage_first_line:
        bank.rebuild_catalog()  # what was read once is proved again by `log --verify` only
    again = make()
    assert [one.rule for one in again.breaks()] == [rule]
    (finding,) = [one.finding() for one in again.breaks()]
    assert (finding.rule, finding.path.startswith(layout.JOURNAL)) == (rule, True)
    before = [one.read_bytes() for one in sorted((Path(bank.root.path) / layout.PRIVATE).glob("journal/*"))]
    with pytest.raises(JournalDamaged, match="the journal is damaged after line") as caught:
        commit(again, "d")
    assert caught.value.exit_code == 3
    again.record_gap({"reason": "test"})
    assert again.breaks() == []
    commit(again, "d")
    kept = [one.read_bytes() for one in sorted((Path(bank.root.path) / layout.PRIVATE).glob("journal/*"))]
    assert kept[: len(before)] == before
    assert ops(again)[-2:] == [GAP, "d"]
    assert reading(again).breaks == ()
    assert reading(again).end == again.end
    fresh = make()
    fresh.rebuild_catalog()
    assert fresh.breaks() == []
    assert fresh.end == again.end


def test_a_gap_never_goes_into_a_segment_that_stands(
    make: Open, bank: Bank, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 2)
    monkeypatch.setattr(appending, "CHECKPOINT_SECONDS", 10**9)
    with bank.catalog.writing():
        bank.catalog.set_meta("checkpoint", [0, 0])
    for name in "abcdef":
        commit(bank, name)
    firsts = bank.journal.segments()
    assert len(firsts) >= 3
    for first in firsts[1:]:
        segment(bank, first).write_bytes(bytes(100))
    shutil.rmtree(home)  # nothing outside the bank vouches for anything
    bank.home.close()
    again = make()
    again.rebuild_catalog()
    assert again.breaks()
    again.record_gap({})
    commit(again, "x", "y")
    assert again.breaks() == []
    assert all(segment(bank, first).read_bytes() == bytes(100) for first in firsts[1:])
    assert reading(again) == Reading(again.end, (), None)


def test_a_journal_shorter_than_the_catalog_says_is_read_anew(make: Open, bank: Bank, notes: Notes) -> None:
    commit(bank, "a")
    length = len(segment(bank).read_bytes())
    mark = bank.home.mark()
    commit(bank, "b")
    assert bank.catalog.position() == bank.end
    os.truncate(segment(bank), length)
    bank.home.set_mark(*mark)  # an unsynced line was lost in a crash: nothing vouches for it
    again = make()
    assert again.breaks() == []
    assert again.end.seq == 1
    assert notes.said == ["the journal is shorter than the catalog says; the catalog is made again from the journal"]
    commit(again, "c")
    assert reading(again) == Reading(again.end, (), None)


# The catalog


def test_a_damaged_catalog_is_made_again(make: Open, bank: Bank, notes: Notes) -> None:
    bank.commit([Entry("file.adopted", {"files": [["a", "f" * 64, 1, 384, [], "", None]]})])
    bank.catalog.db.execute("DROP TABLE meta")
    bank.refresh()
    assert bank.end.seq == 1
    assert bank.catalog.row("a").expected is not None
    assert notes.said == ["the catalog was damaged; the catalog is made again from the journal"]
    bank.catalog.db.execute("DROP TABLE files")
    bank.commit([Entry("file.adopted", {"files": [["b", "f" * 64, 1, 384, [], "", None]]})])
    assert [path for path, _ in bank.catalog.all_expected()] == ["a", "b"]
    assert make().end == bank.end
    names = [one.name for one in (Path(bank.root.path) / layout.PRIVATE).glob("catalog*.sqlite")]
    assert len(names) == 1


def test_a_busy_catalog_is_not_made_again(make: Open, bank: Bank) -> None:
    commit(bank, "a")
    bank.catalog.db.execute("PRAGMA busy_timeout=0")
    other = make()
    other.journal.append(other.end, [[Entry("b", {})]])
    with other.catalog.writing():
        with pytest.raises(Locked, match="keeps the catalog"):
            bank.refresh()
        commit(bank, "c")  # the catalog learns of it later
        with pytest.raises(Locked, match="keeps the catalog"):
            _ = bank.catalog
        bank.render()
    bank.refresh()
    assert ops(bank) == ["a", "b", "c"]
    assert bank.end == bank.catalog.position()
    assert (Path(bank.root.path) / layout.PRIVATE / "catalog.sqlite").exists()


def test_a_line_is_acknowledged_also_when_the_catalog_cannot_take_it(make: Open, bank: Bank) -> None:
    commit(bank, "a")
    other = make()
    bank.catalog.db.execute("PRAGMA busy_timeout=0")
    with bank.locked():
        with other.catalog.writing():
            commit(bank, "b")
        commit(bank, "c")
    other.refresh()
    assert ops(make()) == ["a", "b", "c"]
    assert reading(bank) == Reading(bank.end, (), None)
    assert make().end == other.end == bank.end


# Copies and moves


def test_a_moved_bank_is_noted_and_a_copied_one_is_not_written(
    make: Open, bank: Bank, path: Path, notes: Notes
) -> None:
    commit(bank, "a")
    moved = path.with_name("moved")
    path.rename(moved)
    again = make(moved)
    commit(again, "b")
    assert notes.said == [f"the bank was moved here from {path}"]
    copy = path.with_name("copy")
    shutil.copytree(moved, copy)
    copied = make(copy)
    with pytest.raises(CopiedBank):
        commit(copied, "c")
    assert copied.end == again.end
    commit(again, "d")


# Files


def test_walking_leaves_out_banks_and_what_is_excluded(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "trades/a.json",
        "trades/b.tmp",
        "cache/x.json",
        "inner/bank.json",
        "inner/deep/x.json",
        "z/bank.json",
    ):
        files.make_dirs(bank.root, name.rpartition("/")[0])
        files.replace(bank.root, name, b"{}")
    inner: list[str] = []
    found = {listing.path: [entry.name for entry in listing.files] for listing in bank.walk(inner=inner)}
    assert found == {"": ["bank.json"], "cache": ["x.json"], "trades": ["a.json", "b.tmp"]}
    assert inner == ["inner", "z"]
    monkeypatch.setenv("MEMORYBANK_EXCLUDE", "cache,trades/*.tmp")
    found = {listing.path: [entry.name for entry in listing.files] for listing in bank.walk()}
    assert found == {"": ["bank.json"], "trades": ["a.json"]}
    assert [listing.path for listing in bank.walk("trades")] == ["trades"]


def test_quarantine_keeps_bytes_once(bank: Bank, path: Path) -> None:
    place = rendering.quarantine(bank.root, b"bad")
    assert (path / place).read_bytes() == b"bad"
    assert digests.of(b"bad")[:16] in place
    files.replace(bank.root, "odd", b"other")
    moved = rendering.quarantine_file(bank.root, "odd", digests.of(b"other"))
    assert (path / moved).read_bytes() == b"other"
    assert not (path / "odd").exists()


# Rendering

ACCOUNT = "account_a/account.json"


def test_accounts_are_rendered_at_close_and_say_so(make: Open, path: Path) -> None:
    bank = make(appliers=[Counting()])
    bank.commit([Entry("count.up", {"account": "a"})])
    assert not (path / ACCOUNT).exists()
    assert bank.catalog.unrendered() == ["a"]
    bank.close()
    assert (path / ACCOUNT).read_bytes() == dumps({"count": 1, "seq": 1})
    again = make(appliers=[Counting()])
    assert again.catalog.unrendered() == []
    expected = again.catalog.row(ACCOUNT).expected
    assert expected is not None
    assert expected.sha == digests.of((path / ACCOUNT).read_bytes())
    end = again.end
    again.close()
    assert make().end == end


def test_a_killed_rendering_is_done_by_the_next(make: Open, path: Path) -> None:
    bank = make(appliers=[Counting()])
    bank.commit([Entry("count.up", {"account": "a"})])
    with broken(rename=failing(errno.EIO)), pytest.raises(OSError, match="Errno"):
        bank.close()
    again = make(appliers=[Counting()])
    again.render()
    assert (path / ACCOUNT).exists()
    assert again.catalog.unrendered() == []


def test_a_file_that_is_right_already_is_not_written_again(make: Open, path: Path) -> None:
    bank = make(appliers=[Counting()])
    (path / "account_a").mkdir()
    (path / ACCOUNT).write_bytes(dumps({"count": 1, "seq": 1}))
    inode = (path / ACCOUNT).stat().st_ino
    bank.commit([Entry("count.up", {"account": "a"})])
    bank.render()
    assert (path / ACCOUNT).stat().st_ino == inode
    assert bank.catalog.unrendered() == []
    assert not (path / layout.QUARANTINE).exists()


def test_unknown_bytes_in_the_place_of_a_rendering_are_kept_and_said(make: Open, path: Path, notes: Notes) -> None:
    bank = make(appliers=[Counting()])
    (path / "account_a").mkdir()
    (path / ACCOUNT).write_bytes(b"by hand")
    bank.commit([Entry("count.up", {"account": "a"})])
    bank.render()
    (line,) = [one for one in bank.journal.lines() if one.op == "files.rendered"]
    place = line.core["kept"][ACCOUNT]
    assert (path / place).read_bytes() == b"by hand"
    assert notes.said == [f"{ACCOUNT} was changed by somebody else; those bytes are in {place}"]
    bank.commit([Entry("count.up", {"account": "a"})])
    bank.render()
    assert "kept" not in [one for one in bank.journal.lines() if one.op == "files.rendered"][-1].core
    assert len(list((path / layout.QUARANTINE).iterdir())) == 1


def test_rendering_waits_for_nobody_and_not_on_a_broken_journal(make: Open, path: Path) -> None:
    bank = make(appliers=[Counting()])
    bank.commit([Entry("count.up", {"account": "a"})])
    with locks.hold(bank.root, layout.RENDER_LOCK, timeout=0):
        bank.render()
    assert not (path / ACCOUNT).exists()
    with bank.locked():
        bank.render()
    assert (path / ACCOUNT).exists()
    bank.commit([Entry("count.up", {"account": "a"})])
    before = (path / ACCOUNT).read_bytes()
    segment(bank).write_bytes(b"?" + segment(bank).read_bytes()[1:])
    bank.rebuild_catalog()
    bank.render()
    assert (path / ACCOUNT).read_bytes() == before


def test_an_account_without_files_is_left_alone(make: Open) -> None:
    bank = make()
    bank.commit([Entry("count.up", {"account": "a"})])
    end = bank.end
    bank.render()
    assert bank.end == end


def test_a_rendering_is_known_by_its_content(make: Open, path: Path) -> None:
    bank = make(appliers=[Counting()])
    assert not bank.is_rendering("missing.json")
    (path / "x.json").write_bytes(dumps({"seq": 1}))
    (path / "y.json").write_bytes(b"{}")
    assert bank.is_rendering("x.json")
    assert not bank.is_rendering("y.json")


def test_a_bank_that_cannot_be_written_is_read(
    make: Open, bank: Bank, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(bank, "a")
    for file in (path / layout.PRIVATE).glob("catalog*"):
        file.unlink()

    def read_only(*_: Any, **__: Any) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda where, **options: connect(where, **options) if where == ":memory:" else read_only()
    )
    reader = make()
    assert reader.catalog.in_memory
    assert reader.end.seq == 1
    reader.close()


@pytest.mark.parametrize("kind", ["directory", "link", "file above", "link above"])
def test_what_is_no_file_makes_way_for_a_rendering(make: Open, path: Path, kind: str) -> None:
    bank = make(appliers=[Counting()])
    if kind.endswith("above"):
        odd = path / "account_a"
    else:
        (path / "account_a").mkdir()
        odd = path / ACCOUNT
    if kind == "directory":
        odd.mkdir()
    elif kind == "file above":
        odd.write_bytes(b"kept")
    else:
        odd.symlink_to("elsewhere")
    assert bank.root.content(ACCOUNT) is None
    bank.commit([Entry("count.up", {"account": "a"})])
    bank.render()
    assert (path / ACCOUNT).read_bytes() == dumps({"count": 1, "seq": 1})
    assert not (path / ACCOUNT).is_symlink()
    (line,) = [one for one in bank.journal.lines() if one.op == "files.rendered"]
    place = path / line.core["kept"][ACCOUNT]
    assert place.is_symlink() if "link" in kind else place.exists()
    assert rendering.make_way(bank.root, ACCOUNT) == rendering.make_way(bank.root, "top.json") == ""
