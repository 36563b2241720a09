"""Archiving and renaming that are killed at any change of the disk are wholly done or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import Context
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.account_rename import rename
from memorybank_cli.operations.accounts import account_ids, create
from memorybank_cli.operations.messages import list_
from memorybank_cli.operations.opening import open_bank
from tests.accounts.conftest import long, path
from tests.accounts.sealed import named
from tests.broken_os import killed
from tests.operations.banks import contents, opened, rules

__all__ = ("long", "path")  # fixtures
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
STRIDE = 5
"""Every fifth change is tried; the others are like them, and the campaigns try all."""


def undo(bank: Bank) -> None:
    archive(bank, "a", undo=True)


WORKS: dict[str, tuple[Callable[[Bank], object], Callable[[Bank], object]]] = {
    "archive": (lambda _: None, lambda bank: archive(bank, "a", keep_mib=0)),
    "put back": (lambda bank: archive(bank, "a", keep_mib=0), undo),
    "rename": (lambda bank: archive(bank, "a", keep_mib=0), lambda bank: rename(bank, "a", "new")),
    "configure": (lambda _: None, lambda bank: create(bank, "a", short_term=3, mid_term=4)),
}


@pytest.mark.parametrize("kind", WORKS)
@pytest.mark.no_cover
def test_it_is_all_or_nothing(long: Path, home: Path, tmp_path: Path, kind: str) -> None:
    before, act = WORKS[kind]
    with opened(long) as bank:
        before(bank)
    places = {long: tmp_path / "kept-bank", home: tmp_path / "kept-home"}
    for place, copy in places.items():
        shutil.copytree(place, copy)
    old = contents(long)

    def work() -> None:
        bank = open_bank(Context(bank=str(long)))
        act(bank)
        bank.close()

    step = 0
    while True:
        for place, copy in places.items():
            shutil.rmtree(place)
            shutil.copytree(copy, place)
        step += STRIDE
        reached = killed(work, step)
        with opened(long) as bank:
            [name] = account_ids(bank)
            assert [one["id"] for one in list_(bank, account=name)] == named(25)
        assert [one.name for one in long.glob("account_*")] == [f"account_{name}"]
        found = contents(long)
        assert rules(long) == {}
        assert contents(long) == found
        assert not list((long / ".memorybank/tmp").iterdir())
        if kind != "configure":  # whose times are those of its line
            assert (found == old) == all((long / name).exists() for name in old)
        if not reached:
            break
    assert step > STRIDE
    assert found != old
