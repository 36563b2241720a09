"""Rendering by a thread of its own, while others write."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.renderer import Renderer
from memorybank_cli.base import locks
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.records import Progress
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.opening import keep_rendered, open_bank
from tests.conftest import MakeBank
from tests.operations.banks import opened
from tests.waiting import until


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "a")
    return made


def shown(path: Path) -> int:
    return len(json.loads((path / "account_a/short_term.json").read_bytes())["messages"])


def texts(*numbers: int) -> list[Message]:
    return [Message("user", f"text {number}", id=f"m{number}") for number in range(*numbers)]


def test_files_follow_without_anybody_asking(path: Path) -> None:
    bank = open_bank(Context(bank=str(path)))
    keep_rendered(bank)
    keep_rendered(bank)
    store(bank, "a", texts(3))
    until(lambda: shown(path) == 3)
    store(bank, "a", texts(3, 5))
    until(lambda: shown(path) == 5)
    store(bank, "a", texts(5, 6))
    bank.close()
    assert shown(path) == 6
    assert not [one for one in threading.enumerate() if one.name == "memorybank-renderer"]


def test_what_is_committed_while_files_are_rendered_is_rendered_next(path: Path) -> None:
    bank = open_bank(Context(bank=str(path)))
    keep_rendered(bank)
    for number in range(0, 120, 2):
        store(bank, "a", texts(number, number + 2))
    bank.close()
    with opened(path) as again:
        assert again.catalog.unrendered() == []
        lines = [line.core for line in again.journal.lines() if line.op == "files.rendered"]
    assert len(lines) >= 2
    whole = json.loads((path / "account_a/whole_history.json").read_bytes())
    assert [one["id"] for one in whole["messages"]] == [f"m{number}" for number in range(120)]
    assert not (path / layout.QUARANTINE).exists()


def test_who_renders_already_is_left_to_it(path: Path) -> None:
    bank = open_bank(Context(bank=str(path)))
    keep_rendered(bank)
    with locks.hold(bank.root, layout.RENDER_LOCK):
        store(bank, "a", texts(3))
    store(bank, "a", texts(3, 4))
    until(lambda: shown(path) == 4)
    bank.close()


def test_it_ends_also_where_it_was_about_to_render(path: Path) -> None:
    """Its end is told, and its news taken away, between its look for the end and its rendering."""
    bank = open_bank(Context(bank=str(path)))
    renderer = Renderer(lambda: open_bank(Context(bank=str(path))), Progress())
    clear = renderer._news.clear

    def ended_just_before() -> None:
        renderer._end.set()
        renderer._news.set()
        clear()

    renderer._news.clear = ended_just_before  # type: ignore[method-assign]
    renderer.nudge()
    renderer._thread.join(30)
    assert not renderer._thread.is_alive()
    bank.close()


class Notes(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_what_goes_wrong_is_said_and_tried_again(path: Path) -> None:
    notes, tries = Notes(), iter(range(10**6))

    def another() -> Bank:
        if next(tries) == 0:
            raise OperationFailed("not now")
        return open_bank(Context(bank=str(path)))

    bank = open_bank(Context(bank=str(path)))
    renderer = Renderer(another, notes)
    store(bank, "a", texts(2))
    renderer.nudge()
    until(lambda: bool(notes.said))
    renderer.nudge()
    until(lambda: shown(path) == 2)
    renderer.close()
    assert notes.said == ["files wait to be rendered: not now"]
    bank.close()
