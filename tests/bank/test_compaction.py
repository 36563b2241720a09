"""Writing closed segments again: in one step, with the mode that they had, and what nobody wants of it undone."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.bank import compaction, layout
from memorybank_cli.bank import journal as journal_module
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.chain import START, Reading
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.operations.opening import open_bank
from tests.broken_os import broken, failing
from tests.conftest import MakeBank


@pytest.fixture
def bank(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """Segments of five lines that hold data."""
    path = make_bank(0, padded=False)
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 5)
    opened = open_bank(Context(bank=str(path)))
    for number in range(23):
        opened.commit([Entry("note.taken", {"number": number}, {"text": f"text {number}"})])
    yield opened
    opened.close()


def everything(_line: Line) -> bool:
    return True


def lines(bank: Bank) -> list[Line]:
    *found, reading = bank.journal.read(START, bank.home.mark())
    assert isinstance(reading, Reading)
    assert reading.breaks == ()
    return [line for line in found if isinstance(line, Line)]


def folder(bank: Bank) -> Path:
    return Path(bank.root.path) / layout.JOURNAL


def test_the_active_segment_is_never_closed(bank: Bank) -> None:
    assert compaction.closed(bank) == bank.journal.segments()[:-1]
    assert len(compaction.closed(bank)) > 3


def packed(bank: Bank, first: int) -> None:
    """Have a segment be compressed, whole."""
    [told] = [one for one in compaction.plan(bank, everything, days=-1) if one.told.segment == first]
    compaction.carry_out(bank, [told._replace(drops=False)], everything, bank.end.seq)


@pytest.mark.parametrize("pack", [False, True])
def test_a_segment_is_written_again(bank: Bank, pack: bool) -> None:
    first = compaction.closed(bank)[1]
    (folder(bank) / f"{first:012d}.jsonl").chmod(0o640)
    if pack:
        packed(bank, first)
    before = lines(bank)
    compaction.rewrite(bank, first, compaction.dropping(everything))
    [path] = folder(bank).glob(f"{first:012d}*")
    assert path.suffix == (".zst" if pack else ".jsonl")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    after = lines(bank)
    assert [line.hash for line in after] == [line.hash for line in before]
    changed = [line.seq for line, old in zip(after, before, strict=True) if line.data != old.data]
    assert changed == [line.seq for line in before if first <= line.seq < first + 5 and line.data is not None]
    bank.commit([Entry("note.taken", {}, {"text": "more"})])
    assert lines(bank)[-1].value == {"text": "more"}


def test_a_packed_one_stays_packed_and_a_leftover_goes(bank: Bank) -> None:
    first = compaction.closed(bank)[1]
    plain = folder(bank) / f"{first:012d}.jsonl"
    data = plain.read_bytes()
    packed(bank, first)
    plain.write_bytes(data)
    compaction.rewrite(bank, first, compaction.dropping(everything))
    assert [one.suffix for one in folder(bank).glob(f"{first:012d}*")] == [".zst"]
    assert all(line.data is None for line in lines(bank) if first <= line.seq < first + 5)


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_failure_leaves_it_as_it_was(bank: Bank, call: str) -> None:
    before = {one.name: one.read_bytes() for one in folder(bank).iterdir()}
    with broken(**{call: failing(errno.EIO)}), pytest.raises(OSError, match="Errno"):
        compaction.rewrite(bank, compaction.closed(bank)[0], compaction.dropping(everything))
    assert {one.name: one.read_bytes() for one in folder(bank).iterdir()} == before


def test_data_that_must_stay_stays(bank: Bank) -> None:
    steps = compaction.plan(bank, lambda line: line.core.get("number", 0) % 2 == 1, days=-1)
    assert [one.drops for one in steps] == [True] * len(steps)
    compaction.carry_out(bank, steps, lambda line: line.core.get("number", 0) % 2 == 1, bank.end.seq)
    for line in lines(bank):
        if line.op == "note.taken" and line.seq < steps[-1].told.segment + 5:
            assert (line.data is None) == (line.core["number"] % 2 == 1)
    left = compaction.plan(bank, lambda _: False, days=-1)
    assert all(one.told.segment > steps[-1].told.segment for one in left)  # begun by the lines that tell of it


def test_what_is_known_of_a_line_is_forgotten(bank: Bank) -> None:
    bank.journal.opened[7] = {"x": b"y"}
    compaction.rewrite(bank, compaction.closed(bank)[0], bytes)
    assert bank.journal.opened == {}


def test_lines_longer_than_a_piece(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "AT_ONCE", 10)
    before = lines(bank)
    compaction.rewrite(bank, compaction.closed(bank)[1], bytes)
    assert lines(bank) == before


# Without being asked


@pytest.fixture
def over(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """The journal is beyond its budget."""
    monkeypatch.setattr(compaction, "MIB", 1)
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", str(compaction.total(bank) // 2))
    return bank


def suffixes(bank: Bank) -> list[str]:
    return [one.suffix for one in sorted(folder(bank).iterdir())]


def test_past_the_budget_the_oldest_are_compacted_once(over: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [(line.seq, line.hash) for line in lines(over)]
    assert compaction.overdue(over, lambda: everything, 2, lambda: True) == 2
    assert suffixes(over)[:3] == [".zst", ".zst", ".jsonl"]
    assert [(line.seq, line.hash) for line in lines(over)][: len(before)] == before
    assert compaction.overdue(over, lambda: everything, 100, lambda: True) > 0
    done = suffixes(over)
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
    compaction.overdue(over, lambda: everything, 100, lambda: True)
    assert suffixes(over) > done
    assert compaction.overdue(over, lambda: everything, 100, lambda: True) <= 1  # what was written by the last one


def test_within_the_budget_nothing_is_even_looked_at(bank: Bank) -> None:
    def unasked() -> compaction.MayGo:
        raise AssertionError

    assert compaction.overdue(bank, unasked, 100, lambda: True) == 0


def test_it_ends_when_it_is_told_to(over: Bank) -> None:
    assert compaction.overdue(over, lambda: everything, 100, lambda: False) == 0
    assert ".zst" not in suffixes(over)


def test_a_segment_that_was_changed_meanwhile_is_left_alone(over: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody forgot a message between the packing and the lock: what was packed has it still."""
    first = compaction.closed(over)[0]
    pack = compaction._packed_anew

    def and_then(bank: Bank, one: int, may_go: compaction.MayGo | None) -> tuple[int, list[bytes]] | None:
        made = pack(bank, one, may_go)
        compaction.rewrite(bank, first, compaction.dropping(everything))
        return made

    steps = compaction.plan(over, lambda _: False)
    monkeypatch.setattr(compaction, "_packed_anew", and_then)
    assert compaction.overdue(over, lambda: lambda _: False, 100, lambda: True) == 0
    with pytest.raises(OperationFailed, match="meanwhile"):
        compaction.carry_out(over, steps[:1], everything, over.end.seq)
    assert all(line.data is None for line in lines(over) if first <= line.seq < first + 5)
    assert ".zst" not in suffixes(over)


def test_a_damaged_segment_stays_as_evidence(over: Bank) -> None:
    first = compaction.closed(over)[0]
    path = folder(over) / f"{first:012d}.jsonl"
    path.write_bytes(path.read_bytes().replace(b"text 1", b"text I", 1) + b"no line")
    assert compaction.overdue(over, lambda: everything, 100, lambda: True) == 0
    assert path.exists()
