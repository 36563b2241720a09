"""Refreshes that nobody asked for: after the answer, at close, by number, age and topic; and what is said otherwise."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from threading import enumerate as enumerate_threads
from typing import Any

import pytest

from memorybank_cli.accounts.contexts import State
from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.context import Context
from memorybank_cli.base.records import Progress
from memorybank_cli.operations import context_upkeep
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.context_upkeep import Upkeep, contexts
from memorybank_cli.operations.contexts import refresh
from memorybank_cli.operations.messages import AddedMessages, store
from memorybank_cli.operations.opening import keep_rendered, open_bank
from memorybank_cli.operations.probes import check_bank
from tests.accounts.conversations import GARDEN, GAS, TRAVEL, conversation, said, state
from tests.conftest import MakeBank, Run
from tests.operations.banks import journal, opened

ALL = conversation(GAS, GARDEN, TRAVEL)


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank that refreshes contexts by itself, as banks do."""
    for name in ("MEMORYBANK_CONTEXT_MESSAGES", "MEMORYBANK_CONTEXT_HOURS"):
        monkeypatch.delenv(name)
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "a")
    return made


def added(path: Path, messages: list[dict[str, Any]]) -> AddedMessages:
    with opened(path) as bank:
        return store(bank, "a", [Message(one["role"], one["content"], one["id"], one["timestamp"]) for one in messages])


def long(count: int, prefix: str = "m") -> list[dict[str, Any]]:
    """Messages of one topic."""
    return [{**one, "id": f"{prefix}{one['seq']}"} for one in conversation([GAS[0]] * count)]


def test_fifty_new_messages_set_one_off(path: Path) -> None:
    assert not added(path, long(49)).context_refreshed
    assert state(path).status == "initializing"
    assert added(path, long(1, "n")).context_refreshed
    found = state(path)
    assert (found.upto, found.reason) == (50, "messages")
    assert not added(path, long(49, "o")).context_refreshed
    assert added(path, long(1, "p")).context_refreshed
    assert state(path).upto == 100


def test_the_messages_are_durable_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(context_upkeep.Upkeep, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        added(path, long(50))
    monkeypatch.undo()
    with opened(path) as bank:
        assert read_history(bank, "a").total == 50
    stored = [core for core in journal(path) if core["op"] == "record.stored"]
    assert {core["kind"] for core in stored} == {"message"}


def test_nothing_heavy_is_imported_before_the_answer(path: Path) -> None:
    script = (
        "import sys\n"
        "from memorybank_cli.base.context import Context\n"
        "from memorybank_cli.operations.messages import store\n"
        "from memorybank_cli.operations.opening import open_bank\n"
        "from memorybank_cli.accounts.messages import Message\n"
        f"bank = open_bank(Context(bank={str(path)!r}))\n"
        "assert store(bank, 'a', [Message('user', f'gas {n}') for n in range(60)]).context_refreshed\n"
        "assert not {'sklearn', 'numpy', 'memorybank_cli.accounts.context_words'} & set(sys.modules)\n"
        "bank.close()\n"
        "assert 'sklearn' in sys.modules\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert ran.returncode == 0, ran.stderr


def test_a_change_of_topic_sets_one_off(path: Path) -> None:
    for number, one in enumerate(ALL[:16], 1):
        added(path, [one])
        if number == 8:
            assert state(path).status == "initializing"
    found = state(path)
    assert found.reason == "topic"
    assert found.summaries[0]["last"] == 8


def test_new_messages_after_a_day_set_one_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added(path, long(1))
    monkeypatch.setattr(clock, "now", lambda: clock.show(clock.parse_since("0s") + clock.span("25h")))
    assert added(path, long(1, "n")).context_refreshed
    assert (state(path).reason, state(path).upto) == ("age", 2)


def test_a_context_that_is_old_is_refreshed_by_the_next_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_CONTEXT_HOURS", "0.000001")
    with opened(path) as bank:
        refresh(bank, account="a")
    assert added(path, long(1)).context_refreshed
    assert state(path).reason == "age"


def test_settings_switch_it_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_CONTEXT_MESSAGES", "0")
    assert not added(path, long(60)).context_refreshed
    assert state(path).status == "initializing"
    monkeypatch.setenv("MEMORYBANK_CONTEXT_MESSAGES", "61")
    assert added(path, long(1, "n")).context_refreshed


BROKEN = """
import sys
sys.modules["sklearn.feature_extraction"] = None
from memorybank_cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_refresh_that_fails_is_said_and_the_messages_stay(path: Path, run: Run) -> None:
    lines = b"".join(b'{"role": "user", "content": "Gas is %d."}\n' % number for number in range(60))
    command = [sys.executable, "-c", BROKEN, "message", "add", "--stdin", "--account", "a", "--bank", str(path)]
    ran = subprocess.run(command, input=lines, capture_output=True, check=False, cwd=Path(__file__).parents[2])
    assert ran.returncode == 0, ran.stderr
    assert b"the context of a could not be refreshed" in ran.stderr
    assert state(path).status == "initializing"
    done = run("message", "add", "one more", "--role", "user", "--account", "a", "--bank", path, "--json")
    assert done.json["context_refreshed"]
    assert state(path).upto == 61


# In processes that live long


@contextmanager
def living(path: Path, progress: Progress | None = None) -> Iterator[Bank]:
    bank = open_bank(Context(bank=str(path), progress=progress or Progress()))
    keep_rendered(bank)
    try:
        yield bank
    finally:
        bank.close()


def upkeep(bank: Bank) -> Upkeep:
    """What is remembered, once its thread is through."""
    found = bank.afterwards["context a"]
    assert isinstance(found, Upkeep)
    if found.thread is not None:
        found.thread.join()
    return found


def put_in(bank: Bank, messages: list[dict[str, Any]]) -> bool:
    """Whether storing them set off a refresh."""
    return store(bank, "a", [Message(one["role"], one["content"], one["id"]) for one in messages]).context_refreshed


def test_where_a_thread_renders_a_thread_refreshes_too(path: Path) -> None:
    messages = long(101)
    with living(path) as bank:
        assert put_in(bank, messages[:50])
        upkeep(bank)
        with opened(path) as other:
            assert read_history(other, "a").context.upto == 50
        assert not put_in(bank, messages[50:100])  # not so soon again
        upkeep(bank).ended = 0
        assert put_in(bank, messages[100:])
    assert state(path).upto == 101


def test_it_is_set_off_once_until_it_is_done(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, release = Event(), Event()
    look = Upkeep._look

    def slowly(self: Upkeep, bank: Bank, *, closely: bool) -> None:
        held.set()
        release.wait(30)
        look(self, bank, closely=closely)

    monkeypatch.setattr(Upkeep, "_look", slowly)
    with living(path) as bank:
        assert put_in(bank, long(50))
        assert held.wait(30)
        assert not put_in(bank, long(60, "n"))
        assert [one.name for one in enumerate_threads()].count("memorybank-context") == 1
        release.set()


def test_a_change_of_topic_is_seen_while_the_process_lives(path: Path) -> None:
    with living(path) as bank:
        for at in range(0, 16, 4):
            assert not put_in(bank, ALL[at : at + 4])  # nobody knows before it was looked at
            upkeep(bank).ended = 0
        with opened(path) as other:
            found = read_history(other, "a").context
    assert found.reason == "topic"
    assert found.summaries[0]["last"] == 8


def test_a_topic_is_not_looked_for_after_each_message(path: Path) -> None:
    with living(path) as bank:
        for one in ALL[:3]:
            put_in(bank, [one])
        assert upkeep(bank).thread is None
        put_in(bank, ALL[3:4])
        first = upkeep(bank).thread
        assert first is not None
        put_in(bank, ALL[4:8])
        assert upkeep(bank).thread is first


def test_where_no_thread_can_be_started_it_is_done_at_close(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with living(path) as bank:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert put_in(bank, long(50))
        assert not put_in(bank, long(50, "n"))
        monkeypatch.undo()
    assert state(path).upto == 100


def test_a_thread_that_fails_says_so_and_the_next_one_does_it(path: Path) -> None:
    notes = Notes()
    with living(path, notes) as bank:
        another, bank.another = bank.another, lambda: open_bank(Context(bank=str(path / "nowhere")))
        assert put_in(bank, long(50))
        failed = upkeep(bank)
        assert len(notes.said) == 1
        assert notes.said[0].startswith("the context of a could not be refreshed: ")
        bank.another, failed.ended = another, 0
        assert put_in(bank, long(1, "n"))
        upkeep(bank)
        with opened(path) as other:
            assert read_history(other, "a").context.upto == 51


class Notes(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_what_goes_wrong_at_close_is_said_and_done_by_the_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    notes = Notes()
    with opened(path, progress=notes) as bank:
        assert put_in(bank, long(50))
        upkeep(bank)()
        assert not put_in(bank, long(50, "n"))  # not again in this process
    monkeypatch.undo()
    assert len(notes.said) == 1
    assert notes.said[0].startswith("the context of a could not be refreshed: ")
    assert added(path, long(1, "o")).context_refreshed
    assert state(path).upto == 101


def rules(path: Path) -> list[str]:
    with opened(path) as bank:
        return [one.rule for one in check_bank(bank)[2]]


def test_without_scikit_learn_there_is_one_finding(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with opened(path) as bank:
        create(bank, "b")
    assert not added(path, long(50)).context_refreshed
    with opened(path) as bank:
        (one,) = contexts(bank)
    assert (one.severity, one.path) == ("info", "account_a/history_context.json")
    assert one.hint.endswith("memorybank context refresh --account a")
    said(path, long(50), "b")
    assert rules(path) == ["MB510"]
    with opened(path) as bank:
        (both,) = contexts(bank)
    assert "2 accounts" in both.message
    assert both.hint.endswith("--account ID")
    monkeypatch.undo()
    assert rules(path) == []
    with opened(path) as bank:
        refresh(bank, account="a")


def test_a_damaged_account_has_findings_of_its_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added(path, long(3))
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for file in (path / ".memorybank/journal").iterdir():
        file.write_bytes(file.read_bytes().replace(b'"account.created"', b'"account.creates"'))
    (path / "account_a/whole_history.json").write_bytes(b"{}")
    with opened(path) as bank:
        assert list(contexts(bank)) == []


def test_a_context_file_that_cannot_be_read_does_not_stop_a_write(path: Path) -> None:
    (path / "account_a/history_context.json").write_bytes(b"\0")
    assert added(path, long(50)).context_refreshed
    found: State = state(path)
    assert found.upto == 50
