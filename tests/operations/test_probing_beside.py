"""The thread of slow probes: what it answers, its own bank, and what becomes of a probe that fails or hangs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.records import Finding
from memorybank_cli.health.probing import STATE, Probe, Reading, Result
from memorybank_cli.operations import probing_beside
from memorybank_cli.operations.probing_beside import Beside
from tests.conftest import MakeBank
from tests.operations.banks import opened


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(1, padded=False)


def waited(beside: Beside) -> Result:
    for _ in range(1_000):
        found = beside.take()
        if found is not None:
            return found
        time.sleep(0.01)
    raise TimeoutError


def test_it_answers_with_a_bank_of_its_own(path: Path) -> None:
    seen: list[tuple[Bank, str, int]] = []

    def look(bank: Bank, known: Sequence[Finding]) -> Reading:
        seen.append((bank, threading.current_thread().name, bank.end.seq))
        return Reading({"known": len(known)})

    probe = Probe("slow", "system", "system", STATE, look)
    with opened(path) as bank:
        beside = Beside(bank)
        assert beside.take() is None
        for count in range(2):
            beside.start(probe, [Finding("MB502", "m")] * count)
            assert beside.running is probe
            found = waited(beside)
            assert (found.probe, found.reading) == (probe, Reading({"known": count}))
        beside.close()
        assert bank not in [one for one, _, _ in seen]
        assert {(name, seq) for _, name, seq in seen} == {("memorybank probes", bank.end.seq)}
    assert not [one for one in threading.enumerate() if one.name == "memorybank probes"]


def test_where_the_thread_cannot_go_on_the_probe_is_unknown_and_another_begins(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Bank:
        raise OperationFailed("the bank went away")

    probe = Probe("slow", "system", "system", STATE, lambda _bank, _known: Reading({}))
    with opened(path) as bank:
        beside = Beside(bank)
        monkeypatch.setattr(probing_beside, "open_bank", refuse)
        beside.start(probe, [])
        [one] = waited(beside).reading.findings
        assert (one.rule, one.message) == ("MB507", "slow could not be looked at: the bank went away")
        assert beside.running is None
        monkeypatch.undo()
        beside.start(probe, [])
        assert waited(beside).reading == Reading({})
        beside.close()


def test_a_mistake_in_a_probe_is_raised(path: Path) -> None:
    probe = Probe("slow", "system", "system", STATE, lambda _bank, _known: Reading({"x": 1 / 0}))
    with opened(path) as bank:
        beside = Beside(bank)
        beside.start(probe, [])
        with pytest.raises(ZeroDivisionError):
            waited(beside)
        beside.close()


def test_one_that_hangs_is_left_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, into = os.pipe()

    def look(_bank: Bank, _known: Sequence[Finding]) -> Reading:
        return Reading({"read": len(os.read(out, 1))})  # as of a disk that does not answer

    monkeypatch.setattr(probing_beside, "ENDING", 0.01)
    with opened(path) as bank:
        beside = Beside(bank)
        beside.start(Probe("slow", "system", "system", STATE, look), [])
        assert beside.take() is None
        beside.close()
        assert beside.take() is None
        os.write(into, b"x")
        assert waited(beside).reading == Reading({"read": 1})
        monkeypatch.undo()
        beside.close()
    os.close(out)
    os.close(into)
