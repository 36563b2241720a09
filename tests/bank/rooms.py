"""Banks whose journal is written to, for tests of its newest segment: opened, killed, and looked into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.chain import CHECKPOINT, START, Reading
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.context import Context
from memorybank_cli.base.exact_json import dumps

DOCUMENT = {"format": 1, "bank_id": "0193-room", "created_at": "2026-11-20T14:00:00.000000Z", "identity_key": "0" * 64}
SMALL = 256
"""Bytes of room that a few lines fill."""

Open = Callable[[], Bank]


def empty_bank(place: Path) -> Path:
    (place / layout.PRIVATE).mkdir(parents=True, mode=0o700)
    (place / "bank.json").write_bytes(dumps(DOCUMENT))
    return place


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return empty_bank(tmp_path / "bank")


@pytest.fixture
def make(path: Path) -> Iterator[Open]:
    opened: list[Bank] = []

    def call() -> Bank:
        opened.append(opening(path))
        return opened[-1]

    yield call
    for bank in opened:
        bank.abandon()


def opening(path: Path) -> Bank:
    bank = Bank(str(path), Context(lock_timeout=5.0))
    bank.refresh()
    return bank


def commit(bank: Bank, *names: str) -> None:
    for name in names:
        bank.commit([Entry(name, {})])


def killed(bank: Bank) -> None:
    """What is left of a process: nothing is given back but what the system takes."""
    bank.journal.tip.has_room = False
    bank.marking.write()
    bank.abandon()


def segment(path: Path, first: int = 1) -> Path:
    return path / layout.segment_file(first)


def split(path: Path, first: int = 1) -> tuple[bytes, bytes]:
    """The lines of a segment, and what is behind them."""
    data = segment(path, first).read_bytes()
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]


def ops(bank: Bank) -> list[str]:
    return [line.op for line in bank.journal.lines() if line.op != CHECKPOINT]


def is_whole(bank: Bank) -> bool:
    *_, found = bank.journal.read(START, bank.home.mark())
    return found == Reading(bank.end, (), None)


def names(count: int) -> list[str]:
    return [f"op{number}" for number in range(count)]
