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


@pytest.mark.parametrize("pack", [False, True])
def test_a_segment_is_written_again(bank: Bank, pack: bool) -> None:
    before, first = lines(bank), compaction.closed(bank)[1]
    (folder(bank) / f"{first:012d}.jsonl").chmod(0o640)
    compaction.rewrite(bank, first, compaction.dropping(everything), pack=pack)
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
    compaction.rewrite(bank, first, bytes, pack=True)
    plain.write_bytes(data)
    compaction.rewrite(bank, first, compaction.dropping(everything), pack=False)
    assert [one.suffix for one in folder(bank).glob(f"{first:012d}*")] == [".zst"]
    assert all(line.data is None for line in lines(bank) if first <= line.seq < first + 5)


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_failure_leaves_it_as_it_was(bank: Bank, call: str) -> None:
    before = {one.name: one.read_bytes() for one in folder(bank).iterdir()}
    with broken(**{call: failing(errno.EIO)}), pytest.raises(OSError, match="Errno"):
        compaction.rewrite(bank, compaction.closed(bank)[0], compaction.dropping(everything), pack=True)
    assert {one.name: one.read_bytes() for one in folder(bank).iterdir()} == before


def test_data_that_must_stay_stays(bank: Bank) -> None:
    steps = compaction.plan(bank, lambda line: line.core.get("number", 0) % 2 == 1, days=-1)
    assert [one.drops for one in steps] == [True] * len(steps)
    with bank.locked():
        compaction.carry_out(bank, steps, lambda line: line.core.get("number", 0) % 2 == 1)
    for line in lines(bank):
        if line.op == "note.taken" and line.seq < steps[-1].told.segment + 5:
            assert (line.data is None) == (line.core["number"] % 2 == 1)
    assert compaction.plan(bank, lambda _: False, days=-1) == []


def test_what_is_known_of_a_line_is_forgotten(bank: Bank) -> None:
    bank.journal.opened[7] = {"x": b"y"}
    compaction.rewrite(bank, compaction.closed(bank)[0], bytes, pack=True)
    assert bank.journal.opened == {}


def test_lines_longer_than_a_piece(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "AT_ONCE", 10)
    before = lines(bank)
    compaction.rewrite(bank, compaction.closed(bank)[1], bytes, pack=False)
    assert lines(bank) == before
