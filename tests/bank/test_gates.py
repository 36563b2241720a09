from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.gates import LARGEST_ENTRY, size_gate
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import Refused
from memorybank_cli.operations.opening import open_bank
from tests.conftest import MakeBank


@pytest.fixture
def bank(make_bank: MakeBank) -> Iterator[Bank]:
    opened = open_bank(Context(bank=str(make_bank())))
    yield opened
    opened.close()


def test_entries_pass(bank: Bank) -> None:
    for entry in (
        Entry("record.stored", {"a": 1}),
        Entry("record.stored", {}, "x" * (LARGEST_ENTRY - 2)),
        Entry("file.adopted", {}, "x" * (LARGEST_ENTRY + 1)),
    ):
        assert size_gate(bank, entry) is entry


def test_a_record_too_large_is_refused_and_nothing_is_written(bank: Bank) -> None:
    end, before = bank.end, sorted(Path(bank.root.path).rglob("*"))
    with pytest.raises(Refused, match="at most 8,388,608 are taken"):
        bank.commit([Entry("record.stored", {}), Entry("record.stored", {}, "x" * (LARGEST_ENTRY - 1))])
    assert bank.end == end
    assert sorted(Path(bank.root.path).rglob("*")) == before
