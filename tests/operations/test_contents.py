"""Where earlier bytes can be had: the journal, a repository, the quarantine; each proved by its digest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.rendering import quarantine
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.operations.contents import Contents
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots.sealing import Damaged
from tests.conftest import MakeBank
from tests.operations.banks import backed_up, opened, put

STATE = "state/state.json"


def look(bank: Bank) -> Contents:
    return Contents(bank, Snapshots(bank))


def read(bank: Bank, data: bytes, path: str = STATE, line: int = 0) -> tuple[str, bytes] | None:
    found = look(bank).find(path, digests.of(data), len(data), line)
    return None if found is None else (found.source, b"".join(found.read()))


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def test_the_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (path / STATE).read_bytes()
    monkeypatch.setattr(versions, "OPENED", 1)
    with opened(path) as bank:
        line = bank.catalog.row(STATE).expected
        assert line is not None
        assert read(bank, data, line=line.seq) == ("journal", data)
        assert read(bank, data + b" ", line=line.seq) is None
        assert read(bank, data, line=10**6) is None
        held = look(bank)
        found = held.find(STATE, digests.of(data), len(data), line.seq)
        assert held.find(STATE, digests.of(data), len(data), 1) is None  # and only one line is held
        assert found is not None
        assert b"".join(found.read()) == data
        for one in (path / ".memorybank/journal").iterdir():
            one.write_bytes(b"")
        held.find(STATE, digests.of(data), len(data), 1)
        held.find(STATE, digests.of(data), len(data), 2)
        with pytest.raises(Damaged):
            list(found.read())


def test_a_repository(path: Path, home: Path) -> None:
    data = put(path / STATE, {"noise": "x" * 20_000})
    several = put(path / "metrics/large.json", {"noise": [number * 7919 % 1_000_003 for number in range(700_000)]})
    backed_up(path)
    put(path / "metrics/large.json", several[:-1] + b" ")
    with opened(path) as bank:
        assert look(bank).holds(digests.of(data))
        assert read(bank, data) == ("snapshot", data)
        assert read(bank, several, "metrics/large.json") == ("snapshot", several)
        assert read(bank, several[:-2] + b" }", "metrics/large.json") is None
        assert read(bank, several + b" ", "metrics/large.json") is None
        assert look(bank).find_bytes("metrics/large.json", digests.of(data)) == data
        for pack in home.rglob("packs/*/*"):
            pack.chmod(0o600)
            pack.write_bytes(os.urandom(pack.stat().st_size))
        assert read(bank, data) is None
        assert read(bank, several, "metrics/large.json") is None
        assert look(bank).find_bytes(STATE, digests.of(data)) == data  # it stands there


def test_the_quarantine(path: Path) -> None:
    data = os.urandom(100_000)
    with opened(path) as bank:
        assert not look(bank).holds(digests.of(data))
        place = quarantine(bank.root, data)
        assert read(bank, data) == ("quarantine", data)
        (path / place).write_bytes(data[1:])
        assert read(bank, data) is None
        (path / place).unlink()
        (path / place).mkdir()
        assert read(bank, data) is None
        assert look(bank).find_bytes(STATE, digests.of(data)) is None
    assert place.startswith(layout.QUARANTINE)


def test_a_snapshot_that_was_made_since(path: Path) -> None:
    data = put(path / STATE, {"noise": "x" * 20_000})
    bank = open_bank(Context(bank=str(path)))
    held = look(bank)
    assert not held.holds(digests.of(data))
    backed_up(path)
    held.look_again(None)
    assert held.holds(digests.of(data))
    held.snapshots.close()
    bank.close()
