"""Which cures may be done without asking anybody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memorybank_cli.operations.cures import Cure, Plan
from memorybank_cli.operations.lossless import is_lossless
from tests.conftest import MakeBank
from tests.operations.banks import adopt, opened, put

STATE = "state/state.json"
GOOD = json.dumps({"bot_status": "running"}).encode()


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(2, padded=False)


def lossless(path: Path, name: str, method: str, content: bytes | None, rule: str = "MB101", lost: str = "") -> bool:
    with opened(path) as bank:
        return is_lossless(bank, Plan(Cure(name, rule, method, lost=lost), content))


def test_what_loses_anything_or_takes_the_file_away_is_not(path: Path) -> None:
    assert not lossless(path, STATE, "rebuilt", GOOD, lost="two messages")
    assert not lossless(path, STATE, "rebuilt", None)
    assert lossless(path, STATE, "rebuilt", GOOD)


def test_complete_records_of_what_was_cut_are_not_all(path: Path) -> None:
    put(path / STATE, GOOD[:-1])
    assert not lossless(path, STATE, "complete-records", GOOD, "MB103")


def test_what_was_recorded_is_all_of_a_record_but_older_than_what_an_agent_meant(path: Path) -> None:
    record = (path / "trades/trade_1.json").read_bytes()
    state = (path / STATE).read_bytes()
    assert lossless(path, "trades/trade_1.json", "journal", record)
    assert not lossless(path, "trades/trade_1.json", "snapshot", record + b" ")
    assert not lossless(path, STATE, "journal", state)
    assert lossless(path, STATE, "journal", state, "MB104")
    assert lossless(path, STATE, "snapshot", state, "MB115")


@pytest.mark.parametrize(
    ("rest", "worthless"), [(bytes(9), True), (b"\n \0\t\r", True), (b"{}", False), (b"\0x", False)]
)
def test_what_follows_a_document(path: Path, rest: bytes, worthless: bool) -> None:
    put(path / "state/new.json", GOOD + rest)
    assert lossless(path, "state/new.json", "leading-document", GOOD, "MB102") is worthless


def test_the_tail_of_the_version_before(path: Path) -> None:
    longer = put(path / STATE, {"bot_status": "running", "note": "x" * 100})
    adopt(path)
    put(path / STATE, GOOD + longer[len(GOOD) :])
    assert lossless(path, STATE, "leading-document", GOOD, "MB102")
    put(path / STATE, GOOD + longer[len(GOOD) :].replace(b"x", b"y", 1))
    assert not lossless(path, STATE, "leading-document", GOOD, "MB102")
    put(path / STATE, GOOD + longer[len(GOOD) : -3])
    assert not lossless(path, STATE, "leading-document", GOOD, "MB102")


def test_a_file_that_is_another_one_meanwhile(path: Path) -> None:
    put(path / STATE, b'{"other": 1}' + bytes(9))
    assert not lossless(path, STATE, "leading-document", GOOD, "MB102")
    (path / STATE).unlink()
    assert not lossless(path, STATE, "leading-document", GOOD, "MB102")
