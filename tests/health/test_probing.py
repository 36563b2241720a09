"""Probes: what one that fails comes to, and how readings come together."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.records import Finding
from memorybank_cli.health.probing import METRICS, Probe, Reading, fact_of, findings_of, run_all, samples_of
from tests.conftest import MakeBank
from tests.operations.banks import opened


def probe(name: str, *rules: str, error: Exception | None = None, fact: object = None) -> Probe:
    def look(_bank: Bank, known: Sequence[Finding]) -> Reading:
        if error is not None:
            raise error
        return Reading({name: len(known)}, tuple(Finding(rule, "m") for rule in rules), fact)

    return Probe(name, "system", "storage", METRICS, look)


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(0, padded=False)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EIO, "Input/output error"), "input/output error"),
        (OperationFailed("the repository is gone"), "the repository is gone"),
        (sqlite3.DatabaseError("disk image is malformed"), "the catalog is damaged: disk image is malformed"),
        (sqlite3.OperationalError("database is locked"), "another process keeps the catalog"),
    ],
)
def test_what_fails_is_unknown_and_not_fine(path: Path, error: Exception, words: str) -> None:
    with opened(path) as bank:
        [one] = probe("disk", error=error).run(bank).findings
    assert (one.rule, one.severity, one.pointer) == ("MB507", "warning", "/storage/disk")
    assert one.message == f"disk could not be looked at: {words}"


def test_a_mistake_of_the_program_is_not_hidden(path: Path) -> None:
    with opened(path) as bank, pytest.raises(ZeroDivisionError):
        probe("disk", error=ZeroDivisionError()).run(bank)


def test_a_damaged_catalog_is_made_again(path: Path) -> None:
    with opened(path) as bank:
        before = bank.end
        probe("disk", error=sqlite3.DatabaseError("disk image is malformed")).run(bank)
        assert bank.end == before
        assert bank.catalog.row("metrics/metrics.json").expected is not None


def test_each_hears_of_what_those_before_it_found(path: Path) -> None:
    with opened(path) as bank:
        results = run_all([probe("a", "MB502"), probe("b", "MB502", "MB508", fact=5), probe("c")], bank)
    assert samples_of(results) == {"a": 0, "b": 1, "c": 3}
    assert [one.rule for one in findings_of(results)] == ["MB502", "MB508"]  # each once
    assert (fact_of(results, "b"), fact_of(results, "c"), fact_of(results, "d")) == (5, None, None)
    assert all(one.seconds >= 0 and one.at > 0 for one in results)
