"""Where a history comes from when its parts contradict each other, and what the journal tells of rolled back parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.accounts import replay
from memorybank_cli.accounts.heads import describe, parsed
from memorybank_cli.accounts.history import Capacity, History
from memorybank_cli.accounts.recorded import record_of, shown_by
from memorybank_cli.accounts.shelf import FileShelf
from memorybank_cli.accounts.sources import read_history, renderings
from memorybank_cli.bank import replacing
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.framing import Line
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.operations.accounts import create, list_, show
from memorybank_cli.operations.message_forget import forget
from memorybank_cli.operations.opening import open_bank
from tests.accounts.sealed import (
    INDEX,
    MID,
    SHORT,
    WHOLE,
    account_files,
    adopted,
    check,
    ids,
    leave,
    named,
    say,
    say_and_die,
    segment,
    value,
)
from tests.operations.banks import journal, opened, repaired, rules


def held(bank: Bank) -> list[str]:
    return [one["id"] for one in read_history(bank, "a").messages]


# A repair beside messages that wait


@pytest.mark.parametrize("rows", [1, 1_000])
def test_what_waits_is_not_lost_by_a_repair(
    long: Path, tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head comes back as it was recorded, and messages that were never rendered are laid over it."""
    monkeypatch.setattr(replacing, "ROWS", rows)
    target = adopted(long, tmp_path)
    say_and_die(target, 25, 28)
    for name in (SHORT, WHOLE, MID):
        (target / name).write_bytes(b"{")
    with pytest.raises(AccountDamaged), opened(target) as bank:
        read_history(bank, "a")
    assert {one.path for one in repaired(target).repaired} == {SHORT, WHOLE, MID}
    check(target, named(28))


def test_what_another_process_stored_while_a_repair_was_planned(long: Path) -> None:
    good = account_files(long)
    (long / WHOLE).write_bytes(b"{")
    with opened(long) as bank:
        record = record_of(bank, "a")
        assert record is not None
        say(long, 25, 27)
        head = replacing.Replacement(WHOLE, good[WHOLE], kind="whole_history")
        replacing.replace_files(bank, [head], "repair", shown={"a": record.after})
        found = record_of(bank, "a")
        assert found is not None
        assert found.after == record.after < found.seq
        assert held(bank) == named(27)
    assert ids(long) == named(27)
    say(long, 27, 28)
    check(long, named(28))


@pytest.mark.parametrize("shown", [None, [], {"a": "1"}, {"a": True}, {"a": -1}, {"a": 10**9}, {"b": 1}])
def test_a_line_that_says_it_wrong(path: Path, shown: Any) -> None:
    with opened(path) as bank:
        head = replacing.Replacement(WHOLE, (path / WHOLE).read_bytes(), kind="whole_history")
        replacing.replace_files(bank, [head], "repair", shown=shown)
        record = record_of(bank, "a")
        assert record is not None
        assert record.after == record.seq
        assert shown_by(bank, 10**6, "a") == 10**6


@pytest.mark.parametrize("base", [None, [], {"line": 1}, {"line": "1", "sealed": 1, "digest": "", "created_at": ""}])
def test_a_rendering_that_remembers_it_wrong(path: Path, base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memorybank_cli.accounts.sources.remembered", lambda _: base)
    say(path, 25)
    with opened(path) as bank:
        record = record_of(bank, "a")
        assert record is not None
        assert record.base is None
    good = account_files(path)
    (path / WHOLE).write_bytes(b"{")
    assert ids(path) == named(25)
    assert repaired(path).unrepaired == ()
    assert account_files(path) == good


def test_a_base_whose_line_is_gone(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (long / WHOLE).write_bytes(b"{")
    sealed_at = journal(long)[-1]["base"]["line"]
    with opened(long) as bank:
        real = bank.journal.lines

        def without(after: int = 0, having: tuple[bytes, ...] = ()) -> Iterator[Line]:
            return (line for line in real(after, having) if line.seq != sealed_at or having)

        monkeypatch.setattr(bank.journal, "lines", without)
        assert held(bank) == named(25)


# Two processes


def test_a_reader_between_the_files_of_a_writer(long: Path) -> None:
    """It read where the catalog stood, and the files are newer: it looks again, and is right either way."""
    reader = open_bank(Context(bank=str(long)))
    say(long, 25, 37)
    assert held(reader) == named(37)
    newest = account_files(long)
    for name in (WHOLE, INDEX):
        (long / name).write_bytes(newest[name])
    assert [one["id"] for one in read_history(reader, "a").newest(3)] == named(34, 37)
    leave(reader)


# Heads


@contextmanager
def shelf(path: Path) -> Iterator[FileShelf]:
    with opened(path) as bank:
        yield FileShelf(bank, "a")


@pytest.mark.parametrize(
    "change",
    [
        {"messages": None},
        {"messages": [{"id": "x"}]},
        {"messages": [{"id": 1, "timestamp": "x"}]},
        {"seq": "x"},
        {"status": None},
        {"total": "many"},
        {"index": None},
        {"total": 7},
    ],
)
def test_what_is_no_head(long: Path, change: dict[str, Any]) -> None:
    head = {**value(long, WHOLE), **change}
    with shelf(long) as one, pytest.raises(AccountDamaged):
        parsed(one, dumps(head))


def test_an_index_that_tells_of_more_than_the_head_is_cut_back_and_no_segment_is_read(
    long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a reader finds it beside a rendering that seals."""
    head = value(long, WHOLE)
    say(long, 25, 50)
    monkeypatch.delattr(FileShelf, "_read_anew")
    with shelf(long) as one:
        found, is_right = one.segments(head["index"], 20)
    assert [segment.first for segment in found] == [1, 11]
    assert not is_right


def told(bank: Bank) -> tuple[str, Capacity]:
    """When the account was made and how large its windows are, by its files."""
    history = History("a")
    describe(bank, history)
    return history.created_at, history.capacity


def test_what_the_files_say_of_an_account(long: Path) -> None:
    with opened(long) as bank:
        create(bank, "a", short_term=7)
        made = value(long, "account_a/account.json")["created_at"]
        assert told(bank) == (made, (7, 200))
        (long / "account_a/account.json").write_bytes(b"{}")
        assert told(bank) == (made, (7, 200))  # the sizes by the journal
        (long / "account_a/history_context.json").unlink()
        with pytest.raises(AccountDamaged):
            told(bank)
        account = show(bank, "a")
        assert (account.created_at, account.capacity) == (made, (7, 200))


def test_an_adopted_account_that_does_not_say_when_it_was_made(long: Path, tmp_path: Path) -> None:
    for name in ("account", "history_context"):
        (long / f"account_a/{name}.json").write_bytes(b"{}")
    target = adopted(long, tmp_path)
    with opened(target) as bank:
        assert list_(bank).accounts[0].damaged


# The index


def test_an_index_that_is_no_index_and_named_by_the_head(long: Path, tmp_path: Path) -> None:
    from memorybank_cli.base import digests

    (long / INDEX).write_bytes(b"[]")
    head = {**value(long, WHOLE), "index": digests.of(b"[]")}
    (long / WHOLE).write_text(json.dumps(head))
    target = adopted(long, tmp_path)
    with opened(target) as bank, pytest.raises(AccountDamaged, match="index"):
        _ = read_history(bank, "a").segments
    assert not [one for one in rules(target).values() if one == "MB114"]


def test_a_history_that_nobody_can_give(long: Path, tmp_path: Path) -> None:
    target = adopted(long, tmp_path)
    (target / WHOLE).unlink()
    with opened(target) as bank:
        with pytest.raises(AccountDamaged):
            list(renderings(bank, "a", bank.end.seq))
        with pytest.raises(AccountDamaged):
            list(renderings(bank, "never", bank.end.seq))


# Rolled back parts of the journal


class Told:
    """A journal of one account: `None` stores a message, a number goes back to the line of that number."""

    def __init__(self, events: list[int | None], begun: bool = True) -> None:
        made = {"op": "account.created", "account": "a"}
        self.journal = self
        self.told = [Line(1, "", made, None)] if begun else []
        self.told += [self._line(seq, event) for seq, event in enumerate(events, 2)]

    def _line(self, seq: int, event: int | None) -> Line:
        if event is not None:
            return Line(seq, "", {"op": "restore.end", "accounts": {"a": event}}, None)
        core = {"op": "record.stored", "account": "a", "kind": "message"}
        return Line(seq, "", core, dumps({"id": str(seq)}))

    def lines(self, after: int = 0, _having: tuple[bytes, ...] = ()) -> Iterator[Line]:
        return (line for line in self.told if line.seq > after)


class Edited(Told):
    """A journal in which restores also take single messages out and put others back."""

    def __init__(self, events: list[tuple[int, list[int], list[int]] | None]) -> None:
        super().__init__([None if one is None else one[0] for one in events])
        for number, one in enumerate(events, 1):
            if one is not None:
                line = self.told[number]
                edits = {"a": {"take": one[1], "drop": one[2]}}
                self.told[number] = line._replace(core={**line.core, "edits": edits})


@given(st.lists(st.none() | st.tuples(st.floats(0, 1, exclude_max=True), st.sets(st.integers(2, 15))), max_size=14))
def test_single_messages_come_and_go(parts: list[tuple[float, set[int]] | None]) -> None:
    """Held against the plain way: a history is a set of lines."""
    states: dict[int, set[int]] = {1: set()}
    stored: set[int] = set()
    events: list[tuple[int, list[int], list[int]] | None] = []
    for seq, part in enumerate(parts, 2):
        if part is None:
            stored.add(seq)
            events.append(None)
            states[seq] = {*states[seq - 1], seq}
            continue
        back_to, chosen = 1 + int(part[0] * (seq - 1)), part[1] & stored
        base = states[back_to]
        events.append((back_to, sorted(chosen - base), sorted(chosen & base)))
        states[seq] = base ^ chosen
    told: Any = Edited(events)
    for seq, expected in states.items():
        found = [line.seq for line in replay.whole(told, "a", seq) if line.op == "record.stored"]
        assert found == sorted(expected)


@pytest.mark.parametrize("edits", [{"a": None}, {"a": {"take": "x", "drop": []}}, {"a": {"take": [True], "drop": []}}])
def test_an_edit_that_is_none_makes_no_history(edits: Any) -> None:
    told: Any = Told([None, 1, None])
    told.told[2].core["edits"] = edits
    with pytest.raises(AccountDamaged):
        list(replay.whole(told, "a", 9))
    assert [line.seq for line in replay.whole(told, "a", 2)] == [1, 2]
    told.told[2].core["edits"] = []
    found = [(line.seq, line.op) for line in replay.whole(told, "a", 9)]
    assert found == [(1, "account.created"), (3, replay.PUT_BACK), (4, "record.stored")]


EVENTS = st.lists(st.none() | st.floats(0, 1, exclude_max=True), max_size=14)


@given(EVENTS, st.integers(1, 20))
def test_what_was_taken_back_is_not_there(parts: list[float | None], upto: int) -> None:
    """Held against the plain way: keep the history at each line, and at a restore take the one of the line named."""
    states: dict[int, list[str]] = {1: []}
    events: list[int | None] = []
    for seq, part in enumerate(parts, 2):
        back_to = None if part is None else 1 + int(part * (seq - 1))
        events.append(back_to)
        states[seq] = [*states[seq - 1], str(seq)] if back_to is None else states[back_to]
    told: Any = Told(events)
    end = min(upto, len(events) + 1)
    found = [line.value["id"] for line in replay.whole(told, "a", end) if line.op == "record.stored"]
    assert found == states[end]
    assert [one["seq"] for one in replay.messages(told, "a", end)] == list(range(1, len(found) + 1))


def test_an_account_that_the_journal_does_not_begin(path: Path) -> None:
    told: Any = Told([None, None], begun=False)
    with pytest.raises(AccountDamaged):
        list(replay.whole(told, "a", 9))
    with opened(path) as bank:
        create(bank, "b")
        assert list(replay.messages(bank, "b", bank.end.seq)) == []
    assert segment(1) not in account_files(path)


def test_what_the_journal_alone_says_of_an_account(long: Path) -> None:
    with opened(long) as bank:
        before = bank.end.seq
        create(bank, "a", short_term=7, mid_term=3)
        assert replay.configured(bank, "a", before) == (50, 200)
        assert replay.configured(bank, "a", bank.end.seq) == (7, 3)
        forget(bank, "m3", account="a", yes=True)
        found = list(replay.messages(bank, "a", bank.end.seq))
    assert [one["seq"] for one in found] == [one for one in range(1, 26) if one != 4]
    assert [one["id"] for one in found] == [one for one in named(25) if one != "m3"]
