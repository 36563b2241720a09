"""A rollback that is killed at any change of the disk is wholly done or not at all once the bank is opened again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.base.context import Context
from memorybank_cli.operations.accounts import create_account
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.rollback import rollback
from tests.accounts.sealed import small_segments
from tests.broken_os import killed, put_back
from tests.conftest import MakeBank, trade
from tests.operations.banks import adopt, backed_up, contents, journal, opened, put, rules

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
STRIDE = 9
"""Every ninth change is tried; the others are like them, and the campaigns try all."""


def known(number: int) -> dict[str, Any]:
    return {"trade_id": f"t{number}", **trade(number)}


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank in which much was changed since its first snapshot; `mark` names the line of that."""
    small_segments(monkeypatch)
    bank = make_bank(padded=False)
    with opened(bank) as one:
        create_account(one, "a")
        store(one, "a", [Message("user", f"text {n}", id=f"m{n}") for n in range(12)])
    put(bank / "trades/list.json", {"trades": [known(1), known(2), known(3)]})
    backed_up(bank)
    put(bank / "trades/list.json", {"trades": [known(1), known(3)]})
    put(bank / "state/state.json", {"bot_status": "stopped"})
    (bank / "metrics/metrics.json").unlink()
    put(bank / "trades/trade_8.json", known(8))
    with opened(bank) as one:
        store(one, "a", [Message("user", f"text {n}", id=f"m{n}") for n in range(12, 24)])
    adopt(bank)
    backed_up(bank)  # so that the safety snapshot costs few steps
    return bank


def mark(bank: Path) -> int:
    """The line of the first snapshot."""
    return int(next(line["seq"] for line in journal(bank) if line["op"] == "snapshot.created"))


KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "everything": lambda line: {"seq": line},
    "account": lambda line: {"seq": line, "account": "a"},
    "record": lambda line: {"seq": line, "record": ("t2",)},
    "message": lambda line: {"seq": line, "record": ("m15",)},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.no_cover
def test_it_is_all_or_nothing(path: Path, home: Path, tmp_path: Path, kind: str) -> None:
    options = KINDS[kind](mark(path))
    places = {path: tmp_path / "kept-bank", home: tmp_path / "kept-home"}
    for place, copy in places.items():
        shutil.copytree(place, copy)
    old = contents(path)

    def work() -> None:
        bank = open_bank(Context(bank=str(path)))
        rollback(bank, yes=True, **options)
        bank.close()

    work()
    new = contents(path)
    assert new != old
    outcomes = []
    step = 0
    while True:
        put_back(places)
        step += STRIDE
        reached = killed(work, step)
        shutil.rmtree(home / "repositories")  # it is finished without the repository
        with opened(path) as bank:
            said = [one["id"] for one in list_(bank, account="a")]
        found = contents(path)
        assert found in (old, new)
        outcomes.append(found == new)
        expected = old if found == old else new
        assert said == [f"m{n}" for n in range(24) if f'"m{n}"'.encode() in whole(expected)]
        assert rules(path) == {}
        assert list((path / ".memorybank/tmp").iterdir()) == []
        if not reached:
            break
    assert step > 5 * STRIDE
    assert outcomes == sorted(outcomes)
    assert outcomes[-1]


def whole(files: dict[str, bytes]) -> bytes:
    return b"".join(data for name, data in files.items() if "whole_history" in name or "/history/" in name)
