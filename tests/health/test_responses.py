"""The sample of the last calls: what is counted, what is kept between processes, and that it never stops a call."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import AccountNotFound, Locked, OperationFailed, UsageError
from memorybank_cli.health import responses as module
from memorybank_cli.health.responses import KEPT, Responses, measured, responses
from tests.conftest import MakeBank
from tests.operations.banks import opened


@measured("write")
def call(_bank: Bank, error: Exception | None = None) -> str:
    if error is not None:
        raise error
    return "done"


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(0, padded=False)


def test_nothing_was_called_yet(path: Path) -> None:
    with opened(path) as bank:
        found = responses(bank, "write")
    assert found == Responses()
    assert (found.error_rate, found.percentile(0.5)) == (0.0, None)


def test_calls_are_told_at_the_end_and_come_together(path: Path) -> None:
    for _ in range(2):
        with opened(path) as bank:
            assert call(bank) == "done"
            with pytest.raises(OperationFailed):
                call(bank, OperationFailed("the disk is full"))
    with opened(path) as bank:
        found = responses(bank, "write")
    assert (len(found.seconds), found.failed, found.error_rate) == (2, 2, 0.5)
    assert found.last is not None
    assert all(0 <= one < 60 for one in found.seconds)


@pytest.mark.parametrize("error", [UsageError("what?"), AccountNotFound("who?")])
def test_what_a_caller_did_wrong_is_no_failure(path: Path, error: Exception) -> None:
    with opened(path) as bank, pytest.raises(type(error)):
        call(bank, error)
    with opened(path) as bank:
        assert responses(bank, "write") == Responses()


def test_only_the_last_calls_are_kept(path: Path) -> None:
    with opened(path) as bank:
        call(bank)
    with opened(path) as bank:
        for _ in range(KEPT + 5):
            with pytest.raises(Locked):
                call(bank, Locked("busy"))
    with opened(path) as bank:
        assert (responses(bank, "write").seconds, responses(bank, "write").failed) == ((), KEPT)


def test_percentiles() -> None:
    found = Responses(tuple(number / 100 for number in range(100, 0, -1)))
    assert (found.percentile(0.0), found.percentile(0.5), found.percentile(0.95)) == (0.01, 0.51, 0.96)
    assert found.percentile(1.0) == 1.0
    assert Responses((0.5,)).percentile(0.95) == 0.5


def test_a_process_that_goes_on_tells_now_and_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as bank, opened(path) as other:
        call(bank)
        assert responses(other, "write") == Responses()
        monkeypatch.setattr(module, "EVERY", -1.0)
        with other.locked():
            call(bank)  # not now
        assert responses(other, "write") == Responses()
        call(bank)
        assert len(responses(other, "write").seconds) == 3
    with opened(path) as bank:
        assert len(responses(bank, "write").seconds) == 3


def test_where_nothing_can_be_kept_nothing_fails(path: Path) -> None:
    with opened(path) as bank:
        call(bank)
        bank.catalog.db.execute("PRAGMA query_only=1")
    with opened(path) as bank:
        assert responses(bank, "write") == Responses()
        call(bank)
        bank.catalog.in_memory = True
    with opened(path) as bank:
        assert responses(bank, "write") == Responses()


def test_what_somebody_else_wrote_there_counts_as_nothing(path: Path) -> None:
    for strange in ([1], {"write": [1]}, {"write": {"calls": 5}}, {"write": {"calls": ["x"], "last": 3}}):
        with opened(path) as bank, bank.catalog.writing():
            bank.catalog.set_meta("responses", strange)
        with opened(path) as bank:
            assert responses(bank, "write") == Responses()
            call(bank)
        with opened(path) as bank:
            assert len(responses(bank, "write").seconds) == 1


def test_a_lost_catalog_takes_the_sample_along_and_nothing_else(path: Path) -> None:
    with opened(path) as bank:
        call(bank)
    for one in (path / ".memorybank").glob("catalog*"):
        os.unlink(one)
    with opened(path) as bank:
        assert responses(bank, "write") == Responses()
