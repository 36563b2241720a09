"""Companions of a watch: called in order, each by its own time, and none can end the others."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.records import Finding
from memorybank_cli.operations import companions
from memorybank_cli.operations.companions import Company, Line, Maker
from tests.conftest import MakeBank
from tests.operations.banks import opened

FOUND = Finding("MB103", "it stops", "trades/a.json")


class Friend:
    """A companion that notes what it hears; `bad` names what it fails at."""

    findings: tuple[Finding, ...] = ()

    def __init__(self, name: str = "friend", due: float = 0.0, bad: str = "") -> None:
        self.name, self.at, self.bad = name, due, bad
        self.heard: list[Any] = []

    def _hear(self, what: str, *more: object) -> None:
        if self.bad == what:
            raise ValueError(f"{self.name} cannot {what}")
        self.heard.append((what, *more))

    def due(self) -> float:
        if self.bad == "due":
            self._hear("due")
        return self.at

    def run(self) -> Iterable[Line]:
        self._hear("run")
        yield {"type": self.name, "ts": ""}

    def told(self, opened: Iterable[Finding], resolved: Iterable[Finding]) -> None:
        self._hear("told", list(opened), list(resolved))

    def looked(self, findings: Iterable[Finding]) -> None:
        self._hear("looked", list(findings))

    def close(self) -> None:
        self._hear("close")


class Notes:
    """The notes of a bank's context."""

    def __init__(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        monkeypatch.setattr(type(bank.context.progress), "note", lambda _self, text: self.texts.append(text))


def company(bank: Bank, *friends: Friend) -> Company:
    return Company(bank, True, [Maker(one.name, lambda _bank, _leads, one=one: one) for one in friends])  # type: ignore[misc]


def test_each_hears_everything_and_runs_when_it_is_due(make_bank: MakeBank) -> None:
    now, later = Friend("now"), Friend("later", time.monotonic() + 1_000)
    with opened(make_bank(1)) as bank:
        them = company(bank, now, later)
        assert them.due() == 0.0
        assert [one["type"] for one in them.run()] == ["now"]
        them.told([FOUND], [])
        them.told([], [])
        them.looked([FOUND])
        them.close()
    assert now.heard == [("run",), ("told", [FOUND], []), ("looked", [FOUND]), ("close",)]
    assert later.heard == now.heard[1:]


def test_nobody_is_due_never(make_bank: MakeBank) -> None:
    with opened(make_bank(1)) as bank:
        assert Company(bank, True, []).due() == math.inf


@pytest.mark.parametrize("bad", ["run", "told", "looked", "due"])
def test_one_that_fails_is_left_out_for_a_minute(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    good, ill = Friend("good"), Friend("ill", bad=bad)
    with opened(make_bank(1)) as bank:
        notes = Notes(bank, monkeypatch)
        them = company(bank, ill, good)

        def everything() -> None:
            them.due()
            list(them.run())
            them.told([FOUND], [])
            them.looked([FOUND])

        everything()
        everything()
        assert len([one for one in good.heard if one[0] == "run"]) == 2
        [found] = them.failures()
        assert (found.rule, found.pointer) == ("MB525", "/ill")
        assert f"ill cannot {bad}" in found.message
        assert them.findings() == [found]
        assert len(notes.texts) == 1
        monkeypatch.setattr(companions, "PAUSE", -1.0)
        them._members[0].out_until = 0.0
        ill.bad = ""
        everything()
        assert them.failures() == []
        assert ("looked", [FOUND]) in ill.heard
        ill.bad = "close"
        them.close()
    assert good.heard[-1] == ("close",)


def test_one_that_cannot_even_begin_is_tried_again(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    friend, tries = Friend(), list[int]()

    def make(_bank: Bank, _leads: bool) -> Friend:
        tries.append(1)
        if len(tries) == 1:
            raise OSError(28, "No space left on device")
        return friend

    monkeypatch.setattr(companions, "PAUSE", 0.0)
    with opened(make_bank(1)) as bank:
        them = Company(bank, True, [Maker("friend", make)])
        assert them.due() == math.inf
        assert [one.rule for one in them.failures()] == ["MB525"]
        assert [one["type"] for one in them.run()] == ["friend"]
        assert them.failures() == []
        them.close()
    assert len(tries) == 2


def test_what_they_found_themselves_counts(make_bank: MakeBank) -> None:
    friend = Friend()
    friend.findings = (FOUND,)
    with opened(make_bank(1)) as bank:
        assert company(bank, friend).findings() == [FOUND]


def test_what_one_that_failed_found_last_still_stands(make_bank: MakeBank) -> None:
    friend = Friend()
    friend.findings = (FOUND,)
    with opened(make_bank(1)) as bank:
        them = company(bank, friend)
        assert them.findings() == [FOUND]
        friend.bad = "run"
        list(them.run())
        assert [one.rule for one in them.findings()] == ["MB103", "MB525"]


def test_one_is_failing_until_it_has_done_what_it_failed_at(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    friend = Friend(bad="run")
    monkeypatch.setattr(companions, "PAUSE", 0.0)
    with opened(make_bank(1)) as bank:
        notes = Notes(bank, monkeypatch)
        them = company(bank, friend)
        for _ in range(3):  # that it answers to the rest makes it no better
            assert list(them.run()) == []
            them.looked([FOUND])
            assert [one.rule for one in them.findings()] == ["MB525"]
        assert len(notes.texts) == 1
        friend.bad = ""
        list(them.run())
        assert them.findings() == []


def test_some_go_along_only_with_the_watch_that_leads(make_bank: MakeBank) -> None:
    friend = Friend()
    maker = Maker("friend", lambda _bank, _leads: friend, only_leading=True)
    with opened(make_bank(1)) as bank:
        assert Company(bank, False, [maker]).due() == math.inf
        assert Company(bank, True, [maker]).due() == 0.0


def test_every_watch_has_samples_and_alerts(make_bank: MakeBank) -> None:
    with opened(make_bank(1)) as bank:
        them = Company(bank, True)
        assert len(companions.MAKERS) == 2
        assert them.failures() == []
        assert them.due() < math.inf
        them.close()
