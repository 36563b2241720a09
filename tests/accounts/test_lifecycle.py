"""Whatever is done to an account, wherever a process dies: no message is lost, doubled, moved, or in a wrong tier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.segments import parse_index, parse_segment
from memorybank_cli.accounts.shelf import unpacked
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.base.exact_json import loads
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.account_check import check
from memorybank_cli.operations.account_rename import rename
from memorybank_cli.operations.accounts import account_ids, create
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.rollback import rollback
from tests.accounts.sealed import leave, small_segments
from tests.conftest import MakeBank
from tests.operations.banks import opened

NAMES = ("a", "b")
MOMENT = "2026-11-20T14:00:{:02d}.000000Z"


def sealed_in(path: Path, name: str) -> list[dict[str, Any]]:
    """The messages of the segments that an account's index lists, each held against its digest."""
    index = path / f"account_{name}/history/index.json"
    found: list[dict[str, Any]] = []
    for one in parse_index(index.read_bytes()) if index.exists() else ():
        plain, packed = (index.with_name(f"{one.first:012d}.json{suffix}") for suffix in ("", ".zst"))
        assert plain.exists() != packed.exists()
        data = plain.read_bytes() if plain.exists() else unpacked(packed.read_bytes())
        assert data is not None
        listed, messages = parse_segment(data)
        assert listed == one
        found += messages
    return found


def check_files(path: Path, name: str, expected: list[str], capacity: tuple[int, int]) -> None:
    """An account's files: each message once, in order; the windows are the last ones; counts and digests agree."""
    values = {
        kind: loads((path / f"account_{name}/{kind}.json").read_bytes())
        for kind in ("account", "short_term", "mid_term", "whole_history")
    }
    whole, (short, mid) = values["whole_history"], capacity
    index = path / f"account_{name}/history/index.json"
    assert whole["index"] == (digests.of(index.read_bytes()) if index.exists() else None)
    messages = [*sealed_in(path, name), *whole["messages"]]
    assert [one["id"] for one in messages] == expected
    assert [one["seq"] for one in messages] == list(range(1, len(expected) + 1))
    assert values["short_term"]["messages"] == messages[-short:]
    assert values["mid_term"]["messages"] == (messages[:-short][-mid:] if mid else [])
    assert whole["total"] == len(messages)
    assert values["account"]["capacity"] == {"short_term": short, "mid_term": mid}
    newest = ""
    for one in messages:
        assert one.get("late", False) == (one["timestamp"] < newest)
        newest = max(newest, one["timestamp"])
    for kind in ("short_term", "mid_term", "whole_history"):
        count = len(messages) if kind == "whole_history" else len(values[kind]["messages"])
        status = values[kind]["status"]
        assert set(status) == {"status", "last_update", "message_count", "health_check"}
        assert (status["message_count"], status["status"]) == (count, "active" if count else "initializing")
        assert values["account"]["memory_status"][kind] == ("active" if count else "initialized")


class Lifecycle(RuleBasedStateMachine):
    """One account, whatever it is called, beside a plain list of what was acknowledged."""

    path: Path

    def __init__(self) -> None:
        super().__init__()
        self.name, self.capacity = NAMES[0], (50, 200)
        self.expected: list[str] = []
        self.gone: list[str] = []
        self.points: list[tuple[int, str, tuple[int, int], list[str]]] = []
        self.bank: Bank | None = None
        self.number = 0

    def opened(self) -> Bank:
        if self.bank is None:
            self.bank = open_bank(Context(bank=str(self.path)))
        return self.bank

    @initialize(short=st.integers(1, 12), mid=st.integers(0, 15), data=st.uuids())
    def begin(self, short: int, mid: int, data: Any) -> None:
        type(self).made += 1  # type: ignore[attr-defined]
        self.path = type(self).make(type(self).made)  # type: ignore[attr-defined]
        self.capacity = (short, mid)
        create(self.opened(), self.name, short_term=short, mid_term=mid)

    @rule(count=st.integers(1, 45), second=st.integers(0, 59), again=st.integers(0, 3))
    def add(self, count: int, second: int, again: int) -> None:
        fresh = [f"m{self.number + one}" for one in range(count)]
        self.number += count
        batch = [*fresh[: count // 2], *self.expected[:again], *fresh[count // 2 :], *fresh[:again]]
        messages = [
            Message("user", f"text {one} " + "x" * (len(one) * 7), one, MOMENT.format((second + index) % 60))
            for index, one in enumerate(batch)
        ]
        done = store(self.opened(), self.name, messages)
        assert (done.added, done.duplicates) == (count, len(batch) - count)
        self.expected += fresh
        assert done.total == len(self.expected)

    @rule()
    def close(self) -> None:
        self.opened().close()
        self.bank = None
        check_files(self.path, self.name, self.expected, self.capacity)

    @rule()
    def die(self) -> None:
        leave(self.opened())
        self.bank = None

    @rule(short=st.integers(1, 12), mid=st.integers(0, 15))
    def configure(self, short: int, mid: int) -> None:
        done = create(self.opened(), self.name, short_term=short, mid_term=mid)
        assert (done.created, done.configured) == (False, self.capacity != (short, mid))
        self.capacity = (short, mid)

    @rule()
    def rename(self) -> None:
        other = NAMES[self.name == NAMES[0]]
        rename(self.opened(), self.name, other)
        self.name = other

    @rule(undo=st.booleans())
    def archive(self, undo: bool) -> None:
        archive(self.opened(), self.name, keep_mib=None if undo else 0, undo=undo)

    @rule()
    def note(self) -> None:
        self.points.append((self.opened().end.seq, self.name, self.capacity, list(self.expected)))

    @precondition(lambda self: self.points)
    @rule(data=st.data())
    def roll_back(self, data: Any) -> None:
        line, self.name, self.capacity, expected = data.draw(st.sampled_from(self.points))
        self.gone += [one for one in self.expected if one not in expected]
        rollback(self.opened(), seq=line, yes=True)
        self.expected = list(expected)
        assert account_ids(self.opened()) == [self.name]

    @precondition(lambda self: self.gone)
    @rule(count=st.integers(1, 15))
    def say_again_what_was_rolled_back(self, count: int) -> None:
        fresh = [one for one in dict.fromkeys(self.gone) if one not in self.expected][:count]
        done = store(self.opened(), self.name, [Message("user", "again", one, MOMENT.format(0)) for one in fresh])
        assert (done.added, done.duplicates) == (len(fresh), 0)
        self.expected += fresh

    @rule()
    def audit(self) -> None:
        self.opened().render()
        done = check(self.opened(), self.name)
        assert (done.findings, done.accounts[0]["messages"]) == ((), len(self.expected))

    @rule(last=st.integers(0, 60))
    def newest(self, last: int) -> None:
        found = [one["id"] for one in list_(self.opened(), account=self.name, last=last)]
        assert found == self.expected[len(self.expected) - min(last, len(self.expected)) :]

    @precondition(lambda self: hasattr(self, "path"))
    @invariant()
    def every_message_is_there_once(self) -> None:
        found = [one["id"] for one in list_(self.opened(), account=self.name)]
        assert found == self.expected

    def teardown(self) -> None:
        if hasattr(self, "path"):
            self.close()


@pytest.fixture
def machine(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> type[Lifecycle]:
    small_segments(monkeypatch)
    monkeypatch.setenv("MEMORYBANK_CONTEXT_MESSAGES", "0")  # what is summarised changes no message

    class Machine(Lifecycle):
        made = 0

        @staticmethod
        def make(number: int) -> Path:
            return make_bank(0, padded=False, name=f"bank{number}")

    return Machine


def test_the_lifecycle(machine: type[Lifecycle]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize("size", [1, 49, 50, 51, 250, 251, 1_000, 1_001, pytest.param(100_000, marks=pytest.mark.slow)])
@pytest.mark.no_cover
def test_no_overflow_loses_a_message(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setenv("MEMORYBANK_CONTEXT_MESSAGES", "0")
    path = make_bank(0, padded=False)
    expected = [f"m{number}" for number in range(size + 60)]
    with opened(path) as bank:
        create(bank, "a")
        for part in (expected[:30], expected[30 : 30 + size], expected[30 + size :]):
            done = store(bank, "a", [Message("user", one, one, MOMENT.format(0)) for one in part])
            assert (done.added, done.duplicates) == (len(part), 0)
        assert done.moved_to_mid_term == max(0, size + 10) - max(0, size - 20)
    check_files(path, "a", expected, (50, 200))
    with opened(path) as bank:
        assert [one["id"] for one in list_(bank, account="a")] == expected
        again = store(bank, "a", [Message("user", one, one, MOMENT.format(0)) for one in expected[:: size // 50 + 1]])
        assert again.added == 0
