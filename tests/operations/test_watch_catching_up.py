"""`watch --sync` and who leads: answered by the watch that runs, taken over where that ends, else taken back."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.integrity import requests
from memorybank_cli.operations.watch_catching_up import caught_up
from memorybank_cli.operations.watch_lead import Lead
from memorybank_cli.operations.watch_telling import Line
from memorybank_cli.operations.watching import Watching
from tests.broken_os import broken, failing
from tests.conftest import MakeBank
from tests.decoys import passwd
from tests.operations.banks import opened


@contextmanager
def led(path: Path) -> Iterator[tuple[Lead, Bank]]:
    """Somebody leads; and the bank once more, for who asks."""
    with opened(path) as first, opened(path, lock_timeout=30.0) as second:
        lead = Lead(first)
        assert lead.take()
        yield lead, second
        lead.close()


def asked(bank: Bank, own: Watching | None = None) -> list[Line]:
    own = own or Watching(bank, bank.context, adopt=True)
    return list(caught_up(bank, own))


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(1, padded=False)


def test_the_one_that_leads_answers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with led(path) as (lead, bank):

        def sleep(_seconds: float) -> None:
            names = lead.asked()
            assert len(names) == 1
            lead.looked(names, frozenset({"state/state.json"}))
            assert lead.asked() == []
            assert requests.waiting(bank.root) == names
            lead.answer(frozenset({"trades/other.json"}))

        monkeypatch.setattr(time, "sleep", sleep)
        [line] = asked(bank)
        assert (line["type"], line["by"]) == ("synced", "running")


def test_where_the_one_that_leads_ends_meanwhile_one_looks_oneself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with led(path) as (lead, bank):
        monkeypatch.setattr(time, "sleep", lambda _seconds: lead.close())
        lines = asked(bank)
        assert [line["type"] for line in lines][-2:] == ["stopped", "synced"]
        assert lines[-1]["by"] == "own"
        assert requests.waiting(bank.root) == []


def test_who_is_stopped_while_waiting_says_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with led(path) as (_lead, bank):
        own = Watching(bank, bank.context, adopt=True)
        monkeypatch.setattr(time, "sleep", lambda _seconds: own.stop("SIGINT"))
        assert asked(bank, own) == []
        assert requests.waiting(bank.root) == []


def test_a_request_that_cannot_be_removed_is_noted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    with led(path) as (lead, bank):
        monkeypatch.setattr(type(bank.context.progress), "note", lambda _self, text: notes.append(text))
        requests.ask(bank.root)
        with broken(unlink=failing(13)):
            lead.looked(lead.asked(), frozenset())
    assert len(notes) == 1
    assert notes[0].startswith("a request was not answered")


def test_where_nothing_can_be_written_everybody_leads(path: Path) -> None:
    with opened(path) as one, opened(path) as other, broken(open=read_only):
        assert Lead(one).take()
        assert Lead(other).take()
        assert not requests.is_watched(one.root)


def read_only(real: Callable[..., int], name: str, flags: int, *rest: Any, **options: Any) -> int:
    if flags & (os.O_CREAT | os.O_RDWR):
        raise OSError(30, os.strerror(30), name)
    return real(name, flags, *rest, **options)


def linked(place: Path) -> None:
    place.symlink_to(passwd(place))


@pytest.mark.parametrize("stand", [linked, Path.mkdir, os.mkfifo])
@pytest.mark.parametrize("name", ["watch", "watch/lock"])
def test_what_stands_in_the_place_of_the_lock_lets_nobody_lead_beside_another(
    path: Path, stand: Callable[[Path], None], name: str
) -> None:
    place = path / ".memorybank" / name
    place.parent.mkdir(exist_ok=True)
    stand(place)
    with opened(path) as one, opened(path) as other, closing(Lead(one)) as first, closing(Lead(other)) as second:
        assert (first.take(), second.take()) == (True, False)
        assert requests.is_watched(one.root)


def test_many_may_want_to_lead(path: Path) -> None:
    leads: list[bool] = []
    with opened(path) as bank:
        ones = [Lead(bank) for _ in range(8)]
        threads = [threading.Thread(target=lambda one=one: leads.append(one.take())) for one in ones]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(leads) == [False] * 7 + [True]
        for one in ones:
            one.close()
