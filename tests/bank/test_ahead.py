"""A look over a bank in which a second process lists directories: it sees what one alone sees."""

from __future__ import annotations

import marshal
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import ahead
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.turns import Turns
from memorybank_cli.base import walk, workers
from memorybank_cli.base.walk import Entry, Found, Listing
from tests.conftest import MakeBank, trade
from tests.operations.banks import adopt, opened, put

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
DAYS = [f"trades/2026/{month:02}/{day:02}" for month in (1, 2) for day in range(1, 11)]


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ahead, "WORTH_IT", 1)
    monkeypatch.setattr(workers, "are_two", lambda: True)
    path = make_bank(0)
    for number, day in enumerate(DAYS):
        put(path / day / f"t{number}.json", trade(number))
        put(path / day / "not \\ printable\n.json", trade(number))
        (path / day / ".hidden").touch()
    adopt(path)
    return path


def begun() -> Turns:
    turns = Turns()
    turns.begin(0, {}, lambda _: False)
    return turns


def seen(listings: Any) -> list[tuple[Any, ...]]:
    return [(*one[:1], *one[2:]) for one in listings]


def known(bank: Bank) -> set[str]:
    return bank.catalog.directories()


class Diligent:
    """A child that has done everything before it is asked."""

    def __init__(self, count: int, work: Callable[[int], Any]) -> None:
        assert count <= workers.MOST_SHARED
        self._done = [marshal.dumps(work(number)) for number in range(count)]

    def take(self, number: int) -> Any:
        return marshal.loads(self._done[number])  # noqa: S302 - our own

    def end(self) -> None:
        self._done.clear()


@pytest.mark.parametrize("child", [workers.Ahead, Diligent])
def test_the_same_is_seen(path: Path, child: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "Ahead", child)
    inner: list[str] = []
    (path / DAYS[3] / "bank.json").write_bytes(b"{}")
    put(path / "trades/new/t.json", trade(100))
    shutil.rmtree(path / DAYS[5])
    with opened(path) as bank:
        found = list(ahead.walk(bank, inner, known(bank), begun()))
        assert seen(found) == seen(bank.walk())
    assert all(isinstance(entry, Entry) for one in found for entry in [*one.files, *one.directories, *one.others])
    assert inner == [DAYS[3]]


def test_few_files_or_one_processor_need_no_second_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "Ahead", None)
    with opened(path) as bank:
        with monkeypatch.context() as patch:
            patch.setattr(workers, "are_two", lambda: False)
            assert seen(ahead.walk(bank, [], known(bank), begun())) == seen(bank.walk())
        monkeypatch.setattr(ahead, "WORTH_IT", 1_000)
        assert seen(ahead.walk(bank, [], known(bank), begun())) == seen(bank.walk())


def listed(bank: Bank, paths: list[str]) -> list[Found | None]:
    with closing(ahead._Listed(bank.root, paths)) as found:
        return [found(path, -1) for path in paths]


def entries(bank: Bank, path: str) -> Found:
    with bank.root.directory(path) as fd:
        return walk.entries(fd)


@pytest.mark.parametrize("most", [1, 3, 1024])
def test_more_directories_than_can_be_shared_are_listed_some_at_once(
    path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MOST_SHARED", most)
    monkeypatch.setattr(workers, "Ahead", Diligent)
    with opened(path) as bank:
        assert listed(bank, DAYS) == [entries(bank, day) for day in DAYS]


def test_a_directory_that_is_gone_is_left_to_the_walk(path: Path) -> None:
    shutil.rmtree(path / DAYS[0])
    with opened(path) as bank:
        assert ahead._found(bank.root, DAYS[0]) is None


def test_a_very_large_directory_is_left_to_the_walk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as bank:
        found = ahead._found(bank.root, DAYS[0])
        assert found is not None
        monkeypatch.setattr(ahead, "LARGEST", sum(map(len, found[:3])))
        assert ahead._found(bank.root, DAYS[0]) == found
        monkeypatch.setattr(ahead, "LARGEST", ahead.LARGEST - 1)
        assert ahead._found(bank.root, DAYS[0]) is None


def test_a_walk_that_is_given_up_leaves_no_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forked, fork = list[int](), os.fork

    def noted() -> int:
        forked.append(fork())
        return forked[-1]

    monkeypatch.setattr(os, "fork", noted)
    with opened(path) as bank:
        looking = ahead.walk(bank, [], known(bank), begun())
        first: Listing = next(iter(looking))
        assert first.path == ""
        looking.close()  # type: ignore[attr-defined]
    assert forked
    for child in forked:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, os.WNOHANG)
